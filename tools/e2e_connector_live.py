"""A recorder's whole way through a call, over HTTP: start, join, live pull, text, leave, report.

python tools/e2e_connector_live.py --provider sberjazz_mock --start
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kit.lifecycle import StartError  # noqa: E402
from mesh.address_book import read_address_book  # noqa: E402
from mesh.child import ChildFailed  # noqa: E402
from mesh.mesh import open_mesh, why_it_failed  # noqa: E402

DATA = ROOT / "build" / "e2e-connector"
SAMPLES = {"Alice": "examples/interview/en/alice.flac", "Ben": "examples/interview/en/ben.flac"}
NEEDED = ("SBERJAZZ_API_BASE", "SBERJAZZ_API_TOKEN")
JOIN_SECONDS = 45.0
TEXT_SECONDS = 120.0
FINISH_SECONDS = 120.0
REPORT_SECONDS = 180.0
PAUSE_SECONDS = 1.0

EPILOG = f"""
What happens, each step with a time limit; the first that fails ends it with status 1:

  1  POST /v1/meetings/start            a realtime meeting that the recorder joins at once
  2  GET  …/connectors/…/status         until the session is live
  3  POST …/connectors/…/live-pull      again and again, beside the connector's own worker (pull providers)
  4  GET  /v1/meetings/ID               until there is text
  5  POST …/connectors/…/leave          after --seconds; then until the meeting is finished
  6  GET  /v1/meetings/ID               until the report is ready, with --require-report

Progress goes to standard error, one JSON object to standard output. Status 2: something to run it with is missing.

  a mesh of its own, and the stand-in for SberJazz that the project ships:
      tools/e2e_connector_live.py --provider sberjazz_mock --start
  the real thing, with {NEEDED[0]} and {NEEDED[1]} in the environment:
      tools/e2e_connector_live.py --provider sberjazz --start --require-report --url https://jazz.example.ru/CALL
  an installation that runs (keys also from API_KEYS and SERVICE_API_KEYS, or from the mesh of this machine):
      tools/e2e_connector_live.py --provider sberjazz --require-report \\
          --base-url https://agent.example.ru --api-key KEY --service-key KEY --url https://jazz.example.ru/CALL
"""


class Failed(Exception):
    """A step did not come about; the message says which and what was seen last."""


@dataclass
class Summary:
    """What was measured."""

    ok: bool = False
    provider: str = ""
    meeting_id: str = ""
    session_id: str = ""
    failed: str = ""
    join_seconds: float | None = None
    text_seconds: float | None = None
    report_seconds: float | None = None
    duration_ms: int = 0
    words: int = 0
    participants: list[str] = field(default_factory=list)
    lost_ms: int = 0
    report: str = "not asked for"
    live_pulls: dict[str, int] = field(default_factory=dict)


def main() -> int:
    """Run it; the exit status is its result."""
    asked = arguments()
    missing = [name for name in NEEDED if not (os.environ.get(name) or os.environ.get(f"{name}_FILE"))]
    if asked.start and asked.provider == "sberjazz" and missing:
        print(f"{' and '.join(NEEDED)} are needed; not set: {', '.join(missing)}", file=sys.stderr)
        print("docs/runbooks/connector_real_smoke.md says how it is run", file=sys.stderr)
        return 2
    summary = Summary(provider=asked.provider)
    try:
        asyncio.run(run(asked, summary))
    except (StartError, NothingToCall) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        summary.failed = "interrupted"
    print(json.dumps(asdict(summary), ensure_ascii=False))
    return 0 if summary.ok else 1


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="A recorder's whole way through a call: start, join, live pull, text, leave, report.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--provider", default="sberjazz_mock", help="how the call is joined (%(default)s)")
    parser.add_argument("--url", default="", metavar="LINK", help="address of the call; empty where the provider knows")
    parser.add_argument("--seconds", type=float, default=30.0, help="time in the call (%(default)g)")
    parser.add_argument("--language", default="en", help="of the call, as an ISO 639-1 code; empty to detect")
    parser.add_argument("--require-report", action="store_true", help="fail without a ready report")
    parser.add_argument("--start", action="store_true", help="start a mesh on free ports for it, gone afterwards")
    parser.add_argument(
        "--base-url", default="", metavar="URL", help="gateway of a mesh that runs (http://localhost:8010)"
    )
    parser.add_argument("--api-key", default="", help="a user's key or token")
    parser.add_argument("--service-key", default="", help="a service's key or token, for the connector's own calls")
    return parser.parse_args()


class NothingToCall(Exception):
    """There is no mesh, or no key for it; the message says what to give."""


@dataclass(frozen=True)
class Gateway:
    """Where a mesh is, and who we are there."""

    url: str
    user_key: str
    service_key: str


async def run(asked: argparse.Namespace, summary: Summary) -> None:
    """Find or start a mesh and hold the call."""
    try:
        async with gateway(asked) as found, httpx2.AsyncClient(base_url=found.url, timeout=60, trust_env=False) as http:
            smoke = Smoke(asked, Caller(http, found), summary)
            try:
                await smoke.run()
            except (Failed, httpx2.HTTPError) as error:
                summary.failed = str(error) or type(error).__name__
                say(f"FAILED: {summary.failed}")
    except* ChildFailed as group:
        raise StartError(
            "\n".join(why_it_failed(each) for each in group.exceptions if isinstance(each, ChildFailed))
        ) from group


@asynccontextmanager
async def gateway(asked: argparse.Namespace) -> AsyncIterator[Gateway]:
    """Give the mesh to call: one of our own with --start, else the one that is named or that runs here."""
    if asked.start:
        environment = {"AUTH_MODE": "api_key", "APP_ENV": os.environ.get("APP_ENV", "dev")}
        environment |= {} if os.environ.get("STT_PROVIDER") else {"STT_PROVIDER": "demo"}
        if asked.provider == "sberjazz_mock":
            spoken = ",".join(f"{name}={ROOT / file}" for name, file in SAMPLES.items())
            environment |= {"SBERJAZZ_MOCK_SAMPLES": os.environ.get("SBERJAZZ_MOCK_SAMPLES") or spoken}
        async with open_mesh(DATA, free_ports=True, environment=environment, progress=say) as mesh:
            yield Gateway(mesh.url, mesh.keys.user, mesh.keys.service)
        return
    book = read_address_book(Path(os.environ.get("AGENT_DATA_DIR", "data"))) or {}
    base = asked.base_url or book.get("url") or "http://localhost:8010"
    user = asked.api_key or first("API_KEYS") or book.get("user_key", "")
    service = asked.service_key or first("SERVICE_API_KEYS") or book.get("service_key", "")
    if not user or not service:
        raise NothingToCall("--api-key and --service-key are needed (or API_KEYS and SERVICE_API_KEYS, or --start)")
    yield Gateway(base.rstrip("/"), user, service)


def first(variable: str) -> str:
    """Return the first of the keys that a variable holds."""
    return os.environ.get(variable, "").split(",")[0].strip()


class Caller:
    """Makes requests; an answer that is none is a `Failed` with the gateway's own words."""

    def __init__(self, http: httpx2.AsyncClient, found: Gateway) -> None:
        self._http = http
        self._gateway = found

    async def user(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask as a user."""
        return await self._ask(self._gateway.user_key, method, path, body)

    async def service(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask as a service."""
        return await self._ask(self._gateway.service_key, method, path, body)

    async def _ask(self, key: str, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        # A token of an identity provider has three parts; a key has none.
        who = {"authorization": f"Bearer {key}"} if key.count(".") == 2 else {"x-api-key": key}
        answer = await self._http.request(method, path, json=body, headers=who)
        if answer.is_success:
            return dict(answer.json())
        try:
            problem = answer.json()
            said = problem.get("detail") or problem.get("title") or problem.get("reason")
        except ValueError:
            said = ""
        raise Failed(f"{method} {path}: {answer.status_code} {said or answer.reason_phrase}")


class Smoke:
    """The steps."""

    def __init__(self, asked: argparse.Namespace, caller: Caller, summary: Summary) -> None:
        self._asked = asked
        self._caller = caller
        self._summary = summary
        self._begun = time.monotonic()
        self._pulls = False

    async def run(self) -> None:
        """Take every step.

        Raises:
            Failed: one of them did not come about.
        """
        summary = self._summary
        self._pulls = await self._provider()
        await self._start()
        try:
            session = await self._until("the recorder is not in", JOIN_SECONDS, self._session, _is_in)
            summary.session_id, summary.join_seconds = session["session_id"], self._elapsed()
            say(f"in the call after {summary.join_seconds:.1f} s, session {summary.session_id}")
            pulling = asyncio.create_task(self._pull_by_hand(), name="smoke.pull")
            try:
                await self._until("no text", TEXT_SECONDS, self._meeting, lambda meeting: meeting.get("raw_transcript"))
                summary.text_seconds = self._elapsed()
                say(f"text after {summary.text_seconds:.1f} s")
                remaining = self._asked.seconds - (summary.text_seconds - summary.join_seconds)
                await asyncio.sleep(max(0.0, remaining))
            finally:
                pulling.cancel()
                await asyncio.gather(pulling, return_exceptions=True)
        finally:
            await self._leave()
        await self._results()

    async def _provider(self) -> bool:
        """Look whether the provider can be used; returns whether its audio is pulled."""
        listed = await self._caller.user("GET", "/v1/connectors")
        kinds = {kind["name"]: kind for kind in listed.get("providers", ())}
        kind = kinds.get(self._asked.provider)
        if kind is None:
            raise Failed(f"there is no provider {self._asked.provider!r}; there are {', '.join(sorted(kinds))}")
        if not kind.get("available"):
            raise Failed(f"{self._asked.provider} is off: {kind.get('hint')}")
        return bool(kind.get("pull"))

    async def _start(self) -> None:
        body = {
            "title": f"Connector smoke: {self._asked.provider}",
            "mode": "realtime",
            "language": self._asked.language,
            "auto_join_connector": True,
            "provider": self._asked.provider,
            "meeting_url": self._asked.url,
        }
        answer = await self._caller.user("POST", "/v1/meetings/start", body)
        self._summary.meeting_id = answer["meeting_id"]
        self._begun = time.monotonic()
        said = answer.get("connector_error")
        say(f"meeting {self._summary.meeting_id}" + (f"; the recorder says: {said}" if said else ""))
        if not answer.get("connector_auto_join"):
            raise Failed("the recorder was not asked to join")

    async def _pull_by_hand(self) -> None:
        """Pull beside the connector's own worker, and add up what came of it."""
        while self._pulls:
            answer = await self._caller.service("POST", self._admin("live-pull"), {})
            for name in ("pulled", "ingested", "duplicates", "invalid_chunks", "failed", "reconnected"):
                self._summary.live_pulls[name] = self._summary.live_pulls.get(name, 0) + int(answer.get(name, 0))
            await asyncio.sleep(PAUSE_SECONDS)

    async def _leave(self) -> None:
        path = self._admin(f"{self._summary.meeting_id}/leave")
        answer = await self._caller.service("POST", path, {"reason": "the smoke test is over"})
        say(f"left: {answer['session']['state'].removeprefix('SESSION_STATE_').lower()}")

    async def _results(self) -> None:
        summary = self._summary
        meeting = await self._until(
            "the meeting is not finished", FINISH_SECONDS, self._meeting, lambda meeting: meeting["state"] == "finished"
        )
        summary.duration_ms = int(meeting.get("duration_ms", 0))
        summary.words = len(str(meeting.get("raw_transcript", "")).split())
        summary.participants = [one.get("display_name", "") for one in meeting.get("participants", ())]
        coverage = await self._caller.user("GET", f"/v1/meetings/{summary.meeting_id}/coverage")
        summary.lost_ms = sum(int(one["coverage_ms"].get("lost", 0)) for one in coverage.get("participants", ()))
        say(f"finished: {summary.words} words by {', '.join(summary.participants)}; {summary.lost_ms} ms lost")
        ended = time.monotonic()
        seconds = REPORT_SECONDS if self._asked.require_report else 0.0
        try:
            await self._until("the report is not ready", seconds, self._meeting, lambda meeting: meeting.get("report"))
            summary.report, summary.report_seconds = "ready", round(time.monotonic() - ended, 2)
            say(f"report after {summary.report_seconds:.1f} s")
        except Failed:
            summary.report = "not ready"
            if self._asked.require_report:
                raise
        summary.ok = True

    async def _session(self) -> dict[str, Any]:
        answer = await self._caller.service("GET", self._admin(f"{self._summary.meeting_id}/status"))
        return dict(answer["session"])

    async def _meeting(self) -> dict[str, Any]:
        answer = await self._caller.user("GET", f"/v1/meetings/{self._summary.meeting_id}")
        return dict(answer.get("meeting", answer))

    async def _until(
        self, otherwise: str, seconds: float, ask: Callable[[], Any], enough: Callable[[dict[str, Any]], Any]
    ) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            found: dict[str, Any] = await ask()
            if enough(found):
                return found
            if time.monotonic() > deadline:
                state = str(found.get("state", "")).removeprefix("SESSION_STATE_").lower()
                raise Failed(f"{otherwise} after {seconds:g} s: {state} {found.get('reason', '')}".strip())
            await asyncio.sleep(PAUSE_SECONDS / 2)

    def _admin(self, path: str) -> str:
        return f"/v1/admin/connectors/{self._asked.provider}/{path}"

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._begun, 2)


def _is_in(session: dict[str, Any]) -> bool:
    state = session.get("state")
    if state in ("SESSION_STATE_FAILED", "SESSION_STATE_ENDED"):
        raise Failed(f"the recorder is not in: {session.get('reason', '')}")
    return state in ("SESSION_STATE_LIVE", "SESSION_STATE_DEGRADED")


def say(sentence: str) -> None:
    """Tell how it goes."""
    print(f"e2e-connector: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
