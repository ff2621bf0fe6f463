# Each target sets itself up: `make demo` or `make test` on a fresh clone is enough.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SYSTEM_PACKAGES := chromium espeak-ng libespeak-ng1

.PHONY: help
help: ## Show the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- running ---------------------------------------------------------------------------------------------

.PHONY: demo up console
demo: setup ## Hold the sample interview as a real call; files in build/demo
	@$(BIN)/agent demo --output build/demo $(DEMO)

up: setup ## Start every room on this machine, with its own PostgreSQL
	@$(BIN)/agent up

console: setup ## Open the operator console on the mesh of this machine
	@$(BIN)/agent-console

# --- the loop --------------------------------------------------------------------------------------------

.PHONY: check test test-system test-compose format lint types imports proto gen docs
check: static test ## Everything a commit must pass

.PHONY: static
static: format-check lint types imports proto docs-check ## Everything in check but the tests

test: setup ## Run the tests that need nothing but this environment
	@$(BIN)/pytest -q -n 2 -m "not system and not realtime" $(TESTS)
	@test -n "$(TESTS)" || $(BIN)/pytest -q -m realtime

test-system: setup system-packages ## Run the tests with a browser and other Debian packages
	@$(BIN)/pip install -q -c constraints.txt -e ".[system]"
	@$(BIN)/pytest -q -m system $(TESTS)

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
	@$(BIN)/mypy --no-error-summary kit store services gateway tui mesh tools examples tests

imports: setup ## Check who may import whom
	@PYTHONPATH=.:gen $(BIN)/lint-imports --no-logo --no-cache | tail -3; exit $${PIPESTATUS[0]}

proto: setup ## Lint the contract, find breaking changes, check generated code
	@$(BIN)/python tools/proto.py lint
	@$(BIN)/python tools/proto.py breaking
	@$(BIN)/python tools/proto.py check

gen: setup ## Generate code from the contract
	@$(BIN)/python tools/proto.py gen

docs: setup ## Generate docs/configuration.md, .env.example and openapi/openapi.json
	@$(BIN)/python tools/configuration.py write
	@$(BIN)/python -m gateway.rest.openapi

docs-check: setup
	@$(BIN)/python tools/configuration.py check
	@$(BIN)/python -m gateway.rest.openapi --check

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
