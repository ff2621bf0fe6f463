"""A guardrail on REST under load: meetings that speak at once, against thresholds of latency, errors and throughput.

python tools/realtime_load_guardrail.py --start
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import admin_contours  # noqa: E402
from tools.guardrail import Report, Threshold, add_load_options, figures_of, latencies, verdict  # noqa: E402
from tools.reach import Gateway, NothingToCall, Refused, add_options, ask, open_gateway  # noqa: E402
from tools.speech import pieces, spoken, wav  # noqa: E402

NAME = "realtime-load-guardrail"
BUILD = ROOT / "build"
POLL_SECONDS = 0.5
GIVE_UP_SECONDS = 240.0
TIMEOUT_SECONDS = 60.0

EPILOG = """
Each of --meetings meetings begins at another moment and sends a chunk of --chunk-seconds of speech whenever that much
time has passed, as a recorder does; a reader asks for each meeting once a second. With the last chunk the meeting is
finished, and its text and report are waited for. What the thresholds are about:

  request_p95_ms, request_p99_ms   one request of any kind, to the end of its answer
  error_rate                       requests refused or without an answer, and meetings without text, over all of both
  throughput_share                 chunks acknowledged a second, over what --meetings speaking at once send
  text_p95_seconds                 from the last chunk's acknowledgement to the meeting's enhanced text
  report_p95_seconds               the same to its report

The admin contours of queues, storage and readiness are looked at; what they complain of is a warning. With
--strict-admin-checks every /v1/admin/* contour is: it must answer a service, complain of nothing, and refuse people
and strangers. Strict complaints fail the run. Nothing is changed.

Use an engine that costs nothing, or the engine is measured: a mesh of its own has STT_PROVIDER=mock.
Status 0: every threshold holds. 1: one does not; the sentence names it and its option. 2: nothing to run it with.
docs/runbooks/performance.md says what to look at.

      make load-guardrail
      make load-guardrail STRICT=--strict-admin-checks LOAD="--meetings 16 --max-p95-ms 500"
      tools/realtime_load_guardrail.py --base-url https://agent.example.org --api-key KEY --service-key KEY
"""


def main() -> int:
    """Run it; the exit status is the verdict."""
    return verdict(NAME, arguments(), run, thresholds)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="A guardrail on REST under load: meetings that speak at once.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser, service=True)
    add_load_options(parser, "realtime_load_guardrail.json", meetings=8, seconds=20.0)
    parser.add_argument("--chunk-seconds", type=float, default=1.0, help="of speech in a chunk (%(default)g)")
    parser.add_argument("--strict-admin-checks", action="store_true", help="every /v1/admin/* contour must be well")
    limits = parser.add_argument_group("thresholds")
    limits.add_argument("--max-p95-ms", type=float, default=750.0, help="of a request (%(default)g)")
    limits.add_argument("--max-p99-ms", type=float, default=1_500.0, help="of a request (%(default)g)")
    limits.add_argument("--max-error-rate", type=float, default=0.01, help="share of 1 (%(default)g)")
    limits.add_argument("--min-throughput-share", type=float, default=0.9, help="share of 1 (%(default)g)")
    limits.add_argument("--max-text-p95-seconds", type=float, default=30.0, help="(%(default)g)")
    limits.add_argument("--max-report-p95-seconds", type=float, default=60.0, help="(%(default)g)")
    return parser.parse_args()


def thresholds(asked: argparse.Namespace) -> list[Threshold]:
    """Return the thresholds that were asked for."""
    return [
        Threshold("request_p95_ms", "--max-p95-ms", asked.max_p95_ms, "ms"),
        Threshold("request_p99_ms", "--max-p99-ms", asked.max_p99_ms, "ms"),
        Threshold("error_rate", "--max-error-rate", asked.max_error_rate),
        Threshold("throughput_share", "--min-throughput-share", asked.min_throughput_share, least=True),
        Threshold("text_p95_seconds", "--max-text-p95-seconds", asked.max_text_p95_seconds, "s"),
        Threshold("report_p95_seconds", "--max-report-p95-seconds", asked.max_report_p95_seconds, "s"),
    ]


@dataclass(slots=True)
class Load:
    """What all meetings saw together."""

    requests: dict[str, list[float]] = field(default_factory=lambda: {"start": [], "chunk": [], "get": []})
    """Seconds of each request that was answered, by kind."""
    failed: int = 0
    text_seconds: list[float] = field(default_factory=list)
    report_seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    """Chunks acknowledged a second, of each meeting while it spoke."""

    @property
    def seconds(self) -> list[float]:
        """Seconds of every request that was answered."""
        return [each for kind in self.requests.values() for each in kind]


async def run(asked: argparse.Namespace, report: Report) -> None:
    """Find or start a mesh and load it."""
    environment = {"STT_PROVIDER": "mock", "APP_ENV": "dev", "LOG_LEVEL": "warning"}
    limits = httpx2.Limits(max_connections=4 * asked.meetings + 8)
    async with (
        open_gateway(asked, BUILD, environment, say) as gateway,
        httpx2.AsyncClient(base_url=gateway.url, timeout=TIMEOUT_SECONDS, limits=limits, trust_env=False) as http,
    ):
        if asked.strict_admin_checks and not gateway.service_key:
            raise NothingToCall("--strict-admin-checks needs --service-key (or SERVICE_API_KEYS in the environment)")
        load = Load()
        say(f"{asked.meetings} meetings of {asked.seconds:g} s, a chunk every {asked.chunk_seconds:g} s")
        meetings = [Meeting(number, asked, http, gateway, load, report) for number in range(asked.meetings)]
        await asyncio.gather(*(meeting.hold() for meeting in meetings))
        measure(asked, load, report)
        held = [meeting.meeting_id for meeting in meetings if meeting.meeting_id]
        if gateway.service_key and held:
            await look_at_admin(asked, http, gateway, held[0], report)


def measure(asked: argparse.Namespace, load: Load, report: Report) -> None:
    """Put the figures into the report."""
    done = len(load.seconds)
    textless = asked.meetings - len(load.text_seconds)
    offered = asked.meetings / asked.chunk_seconds
    report.figures |= {
        **figures_of("request", load.seconds),
        "error_rate": (load.failed + textless) / max(1, done + load.failed + asked.meetings),
        "chunks_per_s": sum(load.rates),
        "throughput_share": sum(load.rates) / offered,
    }
    for name, seconds in (("text", load.text_seconds), ("report", load.report_seconds)):
        found = latencies(seconds)
        report.figures |= {f"{name}_{key[:3]}_seconds": found[key] / 1_000 for key in ("p50_ms", "p95_ms") if seconds}
    report.details["requests"] = {kind: latencies(seconds) for kind, seconds in load.requests.items()}


async def look_at_admin(
    asked: argparse.Namespace, http: httpx2.AsyncClient, gateway: Gateway, meeting_id: str, report: Report
) -> None:
    """Look at the admin contours, as strictly as was asked."""
    if asked.strict_admin_checks:
        found = await admin_contours.check_all(http, gateway, meeting_id)
        report.breaches += [f"admin: {sentence} (--strict-admin-checks)" for sentence in found.wrong]
    else:
        found = await admin_contours.look_over(http, gateway)
        report.warnings += [f"admin: {sentence}" for sentence in found.wrong]
    say(f"{len(found.checked)} checks of admin contours, {len(found.wrong)} complaints")
    report.details["admin"] = {
        "strict": asked.strict_admin_checks,
        "checked": found.checked,
        "wrong": found.wrong,
        "skipped": found.skipped,
        "queues": found.queues,
    }


class Meeting:
    """One meeting: it speaks, is read, and is waited for."""

    def __init__(
        self, number: int, asked: argparse.Namespace, http: httpx2.AsyncClient, gateway: Gateway, load: Load,
        report: Report,
    ) -> None:  # fmt: skip
        self.meeting_id = ""
        self._number = number
        self._asked = asked
        self._http = http
        self._gateway = gateway
        self._load = load
        self._report = report

    async def hold(self) -> None:
        """Hold it; what fails is counted."""
        asked = self._asked
        pcm = spoken(asked.seconds, language=asked.language, offset=7.0 * self._number)
        chunks = [wav(piece) for piece in pieces(pcm, asked.chunk_seconds)]
        await asyncio.sleep(asked.chunk_seconds * self._number / asked.meetings)  # speakers do not speak in step
        body = {"title": f"Load {self._number}", "mode": "realtime", "language": asked.language}
        started = await self._ask("start", "POST", "/v1/meetings/start", body=body)
        if started is None:
            return
        self.meeting_id = str(started["meeting_id"])
        reading = asyncio.create_task(self._read(), name=f"load.read.{self._number}")
        try:
            await self._speak(chunks)
        finally:
            reading.cancel()
        await self._results()

    async def _speak(self, chunks: list[bytes]) -> None:
        begun, durable, path = time.monotonic(), 0, f"/v1/meetings/{self.meeting_id}/chunks"
        for number, chunk in enumerate(chunks, start=1):
            due = begun + number * self._asked.chunk_seconds  # said by then, not before
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            last = "true" if number == len(chunks) else "false"
            query = {"sequence": number, "participant_id": "speaker-1", "last": last}
            durable += await self._ask("chunk", "POST", path, content=chunk, query=query) is not None
        self._load.rates.append(durable / (time.monotonic() - begun))

    async def _read(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            await self._ask("get", "GET", f"/v1/meetings/{self.meeting_id}")

    async def _results(self) -> None:
        ended, text = time.monotonic(), False
        while (elapsed := time.monotonic() - ended) < GIVE_UP_SECONDS:
            answer = await self._ask("get", "GET", f"/v1/meetings/{self.meeting_id}") or {}
            meeting = answer.get("meeting", answer)
            if not text and meeting.get("enhanced_transcript"):
                text = True
                self._load.text_seconds.append(elapsed)
            if text and meeting.get("report"):
                self._load.report_seconds.append(elapsed)
                return
            await asyncio.sleep(POLL_SECONDS)
        self._report.fail(f"no {'report' if text else 'text'} {GIVE_UP_SECONDS:g} s after the last chunk")

    async def _ask(self, kind: str, method: str, path: str, **more: Any) -> dict[str, Any] | None:
        began = time.monotonic()
        try:
            answer = await ask(self._http, self._gateway.user_key, method, path, **more)
        except Refused as error:
            self._load.failed += 1
            self._report.fail(str(error).replace(self.meeting_id or "\0", "ID"))
            return None
        self._load.requests[kind].append(time.monotonic() - began)
        return answer


def say(sentence: str) -> None:
    """Tell how it goes."""
    print(f"{NAME}: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
