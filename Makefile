# Each target sets itself up: `make demo` or `make test` on a fresh clone is enough.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SYSTEM_PACKAGES := chromium coturn espeak-ng janus libespeak-ng1 openssh-client prometheus pulseaudio pulseaudio-utils tmux

.PHONY: help
help: ## Show the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- running ---------------------------------------------------------------------------------------------

.PHONY: demo up console
demo: setup ## Hold the sample interview as a real call; files in build/demo
	@$(BIN)/agent demo --output build/demo $(DEMO)

up: setup ## Start every room on this machine, with its own PostgreSQL
	@$(BIN)/agent up

console: setup ## Open the operator console on the mesh of this machine
	@$(BIN)/agent-console

.PHONY: quick-record
quick-record: setup ## Record a meeting on this desktop: URL="https://..."; more: QUICK="--duration-sec 600 --transcribe"
	@$(BIN)/python scripts/quick_record_meeting.py --url "$(URL)" $(QUICK)

# --- the loop --------------------------------------------------------------------------------------------

.PHONY: check test test-system test-compose e2e-connector-live e2e-connector-real chaos chaos-control format lint types imports proto gen docs
check: static test ## Everything a commit must pass

.PHONY: static
static: format-check lint types imports proto docs-check ## Everything in check but the tests

test: setup ## Run the tests that need nothing but this environment
	@$(BIN)/pytest -q -n 4 -m "not system and not realtime and not chaos" $(TESTS)
	@test -n "$(TESTS)" || $(BIN)/pytest -q -m realtime

test-system: setup system-packages ## Run the tests with a browser and other Debian packages
	@$(BIN)/pytest -q -m system $(TESTS)

chaos: setup ## Kill, freeze and cut off every room during calls, and compare: KILLS=200 SEED=n CALLS=n
	@$(BIN)/python -m tests.chaos $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED)) $(if $(CALLS),--calls $(CALLS)) $(CHAOS)

chaos-control: setup ## Show that the same fails without durable audio, and without durable text
	@for promise in audio text; do \
	  $(BIN)/python -m tests.chaos --without-durability $$promise $(if $(SEED),--seed $(SEED)); \
	  test $$? = 2 || { echo "chaos-control: nothing was missed without durable $$promise, so nothing is shown"; exit 1; }; \
	  echo "chaos-control: as it must, the run without durable $$promise found what was missing"; \
	done

e2e-connector-live: setup ## Send the recorder through a call of the stand-in for SberJazz, report included: SMOKE="--seconds 60"
	@$(BIN)/python tools/e2e_connector_live.py --provider sberjazz_mock --start --require-report $(SMOKE)

e2e-connector-real: setup ## The same through SberJazz itself; needs SBERJAZZ_API_BASE and SBERJAZZ_API_TOKEN: SMOKE="--url LINK"
	@$(BIN)/python tools/e2e_connector_live.py --provider sberjazz --start --require-report $(SMOKE)

.PHONY: e2e-local load-guardrail ws-guardrail perf-guardrail-lite
e2e-local: setup ## Hold a meeting over REST from start to report, on a mesh of its own: SMOKE="--seconds 60"
	@$(BIN)/python tools/e2e_local.py --start $(SMOKE)

load-guardrail: setup ## Hold REST under load to thresholds; reports/realtime_load_guardrail.json: STRICT=--strict-admin-checks LOAD="--meetings 16"
	@$(BIN)/python tools/realtime_load_guardrail.py $(if $(findstring --base-url,$(LOAD)),,--start) $(STRICT) $(LOAD)

ws-guardrail: setup ## Hold both WebSocket contours under load to thresholds; reports/ws_contours_guardrail.json: LOAD="--meetings 12"
	@$(BIN)/python tools/ws_contours_guardrail.py $(if $(findstring --base-url,$(LOAD)),,--start) $(LOAD)

perf-guardrail-lite: setup ## Both guardrails in a minute: fewer meetings, shorter, wider thresholds
	@$(BIN)/python tools/realtime_load_guardrail.py $(if $(findstring --base-url,$(LOAD)),,--start) --lite $(STRICT) $(LOAD)
	@$(BIN)/python tools/ws_contours_guardrail.py $(if $(findstring --base-url,$(LOAD)),,--start) --lite $(LOAD)

test-compose: setup ## Bring the containers up, send a call through, restart one, take them down
	@$(BIN)/python tools/compose_smoke.py

format: setup ## Format code and contract
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix . && $(BIN)/python tools/proto.py gen && $(BIN)/buf format -w proto

.PHONY: format-check docs-check
format-check: setup
	@$(BIN)/ruff format --check -q .

lint: setup ## Lint the code
	@$(BIN)/ruff check -q .

types: setup ## Check the types, strictly
	@$(BIN)/mypy --no-error-summary kit store services gateway tui mesh tools examples bench scripts tests

imports: setup ## Check who may import whom
	@PYTHONPATH=.:gen $(BIN)/lint-imports --no-logo --no-cache | tail -3; exit $${PIPESTATUS[0]}

proto: setup ## Lint the contract, find breaking changes, check generated code
	@$(BIN)/python tools/proto.py lint
	@$(BIN)/python tools/proto.py breaking
	@$(BIN)/python tools/proto.py check

gen: setup ## Generate code from the contract
	@$(BIN)/python tools/proto.py gen

docs: setup ## Generate docs/configuration.md, .env.example, openapi/openapi.json and asyncapi/asyncapi.json
	@$(BIN)/python tools/configuration.py write
	@$(BIN)/python -m gateway.rest.openapi
	@$(BIN)/python -m gateway.live.asyncapi

docs-check: setup
	@$(BIN)/python tools/configuration.py check
	@$(BIN)/python -m gateway.rest.openapi --check
	@$(BIN)/python -m gateway.live.asyncapi --check

.PHONY: console-pictures
console-pictures: SYSTEM_PACKAGES := chromium fonts-firacode pngquant tmux
console-pictures: setup system-packages ## Take the pictures of docs/console from a mesh with calls in it: PICTURES="--only logs"
	@$(BIN)/python tools/console_pictures.py $(PICTURES)

# --- measuring -------------------------------------------------------------------------------------------

.PHONY: bench bench-console bench-durable bench-gateway bench-queue bench-stt bench-webrtc bench-wer
bench: setup ## List the benches
	@for file in bench/*/__main__.py; do name=$$(basename $$(dirname $$file)); \
	  printf "  make bench-%-10s %s\n" $$name "$$(sed -n '1s/^"""[^:]*: \(.*\)\.\?"""$$/\1/p' $$file)"; done

bench-console: setup ## Measure the console at 500 live sessions (BENCH=--quick: 1 min); build/bench/console.json
	@$(BIN)/python -m bench.console $(BENCH)

bench-durable: setup ## Measure durable audio against an echo and against no sync; build/bench/durable.json
	@$(BIN)/python -m bench.durable $(BENCH)

bench-gateway: setup ## Measure REST and WebSockets against routes by hand (BENCH=--quick: 3 min); build/bench/gateway.json
	@$(BIN)/python -m bench.gateway $(BENCH)

bench-queue: setup ## Measure the queue against bare statements; build/bench/queue.json
	@$(BIN)/python -m bench.queue $(BENCH)

bench-stt: setup ## Measure many calls on one small model (BENCH=--quick: 5 min); build/bench/stt.json
	@$(BIN)/python -m bench.stt $(BENCH)

# Without root there are no namespaces: packets are then lost by a relay on loopback, and the bench says so.
bench-webrtc: SYSTEM_PACKAGES := iproute2 iptables
bench-webrtc: setup ## Measure the receive path against stock aiortc (BENCH=--quick: 4 min); build/bench/webrtc.json
	@[ "$$(id -u)" != 0 ] || $(MAKE) -s system-packages SYSTEM_PACKAGES="$(SYSTEM_PACKAGES)"
	@$(BIN)/python -m bench.webrtc $(BENCH)

bench-wer: setup ## Measure the word error rate of a call against the bare engine (BENCH=--quick: 2 min of call); build/bench/wer.json
	@$(BIN)/python -m bench.wer $(BENCH)

# --- the demonstration model ------------------------------------------------------------------------------

# torch is large and trains this one model only, so it stays out of the product's environment.
TRAIN := build/tiny-whisper/venv
TRAIN_PYTHON := OMP_NUM_THREADS=1 $(TRAIN)/bin/python

.PHONY: tiny-whisper tiny-whisper-test
tiny-whisper tiny-whisper-test: SYSTEM_PACKAGES := espeak-ng libespeak-ng1
tiny-whisper: system-packages $(TRAIN)/.ready ## Make the demonstration model anew (an hour of one core): TINY="--steps 200"
	@$(TRAIN_PYTHON) -m tools.tiny_whisper make $(TINY)

tiny-whisper-test: system-packages $(TRAIN)/.ready ## Test the making of the demonstration model, torch included
	@$(TRAIN)/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt pytest pytest-asyncio pytest-timeout
	@$(TRAIN_PYTHON) -m pytest -q tests/unit/tiny_whisper tests/system/tiny_whisper

$(TRAIN)/.ready: pyproject.toml constraints.txt
	@echo "setting up $(TRAIN) with torch (once, minutes)"
	@test -x $(TRAIN)/bin/python || $(PYTHON) -m venv $(TRAIN)
	@$(TRAIN)/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[train]"
	@touch $@

# --- setting up ------------------------------------------------------------------------------------------

.PHONY: setup system-packages clean
setup: $(READY) ## Make the virtual environment

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "setting up $(VENV) (once, about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[all,dev]"
	@touch $(READY)

system-packages:
	@dpkg -s $(SYSTEM_PACKAGES) >/dev/null 2>&1 || { \
	  sudo=$$( [ "$$(id -u)" = 0 ] || echo sudo ); $$sudo apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $(SYSTEM_PACKAGES); }

clean: ## Remove what building and testing left behind
	@rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
