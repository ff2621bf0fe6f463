"""A guardrail on /v1/ws and /v1/ws/internal under load: audio in, acknowledgements, events out, against thresholds.

python tools/ws_contours_guardrail.py --start
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gateway.live.frame import encode_frame  # noqa: E402
from tools.guardrail import Report, Threshold, add_load_options, figures_of, latencies, verdict  # noqa: E402
from tools.reach import Gateway, NothingToCall, Refused, add_options, ask, open_gateway, shown  # noqa: E402
from tools.speech import pieces, spoken  # noqa: E402

NAME = "ws-contours-guardrail"
BUILD = ROOT / "build"
CONTOURS = {"user": "/v1/ws", "internal": "/v1/ws/internal"}
SAMPLES_PER_SECOND = 16_000
OPEN_SECONDS = 30.0
FINISH_SECONDS = 60.0
EVENT_SECONDS = 60.0

EPILOG = """
Each contour gets --meetings meetings at once, with two sockets each: one opens a session and sends a frame of
--frame-ms at the pace of speech, keeping to the window that it was told; the other watches. After the last frame comes
"end"; the session must be said to be "finished" and be closed with 1000, and text must have come to the watcher. The
user's contour is opened with --api-key, the internal one with --service-key. What the thresholds are about:

  ack_p95_ms, ack_p99_ms   from sending a frame to the "durable" that covers it; journals are synced every 200 ms,
                           so half of that is the least
  event_p95_seconds        from the end of what was said to its "segment" at the watcher
  error_rate               sockets that were refused, cut off, closed with another code, or heard no segment, over all
  throughput_share         frames acknowledged a second, over what is sent at the pace of speech

Thresholds hold for each contour by itself. Use an engine that costs nothing, or the engine is measured: a mesh of its
own has STT_PROVIDER=mock.
Status 0: every threshold holds. 1: one does not; the sentence names it and its option. 2: nothing to run it with.
docs/runbooks/performance.md says what to look at.

      make ws-guardrail
      make ws-guardrail LOAD="--meetings 20 --contour user"
      tools/ws_contours_guardrail.py --base-url https://agent.example.org --api-key KEY --service-key KEY
"""


class Broken(Exception):
    """A socket did not do what it should; the message says what."""


def main() -> int:
    """Run it; the exit status is the verdict."""
    return verdict(NAME, arguments(), run, thresholds)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="A guardrail on /v1/ws and /v1/ws/internal under load.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser, service=True)
    add_load_options(parser, "ws_contours_guardrail.json", meetings=6, seconds=20.0)
    parser.add_argument("--contour", choices=(*CONTOURS, "both"), default="both", help="(%(default)s)")
    parser.add_argument("--frame-ms", type=int, default=100, help="of speech in a frame (%(default)s)")
    limits = parser.add_argument_group("thresholds, of each contour")
    limits.add_argument("--max-ack-p95-ms", type=float, default=750.0, help="(%(default)g)")
    limits.add_argument("--max-ack-p99-ms", type=float, default=1_500.0, help="(%(default)g)")
    limits.add_argument("--max-event-p95-seconds", type=float, default=5.0, help="(%(default)g)")
    limits.add_argument("--max-error-rate", type=float, default=0.01, help="share of 1 (%(default)g)")
    limits.add_argument("--min-throughput-share", type=float, default=0.9, help="share of 1 (%(default)g)")
    return parser.parse_args()


def contours_of(asked: argparse.Namespace) -> list[str]:
    """Return the names of the contours that were asked for."""
    return list(CONTOURS) if asked.contour == "both" else [asked.contour]


def thresholds(asked: argparse.Namespace) -> list[Threshold]:
    """Return the thresholds that were asked for, for each contour."""
    return [
        threshold
        for name in contours_of(asked)
        for threshold in (
            Threshold(f"{name}_ack_p95_ms", "--max-ack-p95-ms", asked.max_ack_p95_ms, "ms"),
            Threshold(f"{name}_ack_p99_ms", "--max-ack-p99-ms", asked.max_ack_p99_ms, "ms"),
            Threshold(f"{name}_event_p95_seconds", "--max-event-p95-seconds", asked.max_event_p95_seconds, "s"),
            Threshold(f"{name}_error_rate", "--max-error-rate", asked.max_error_rate),
            Threshold(
                f"{name}_throughput_share", "--min-throughput-share", asked.min_throughput_share, least=True
            ),
        )
    ]  # fmt: skip


@dataclass(slots=True)
class Load:
    """What the sockets of one contour saw together."""

    acknowledged: list[float] = field(default_factory=list)
    """Seconds from a frame to the acknowledgement that covers it."""
    events: dict[str, int] = field(default_factory=dict)
    event_seconds: list[float] = field(default_factory=list)
    """Seconds from the end of what was said to its segment."""
    late: int = 0
    """Frames that were sent more than a frame behind their time: this machine or the window was the limit."""
    rates: list[float] = field(default_factory=list)
    """Frames acknowledged a second, of each session."""
    failed: int = 0
    sockets: int = 0


async def run(asked: argparse.Namespace, report: Report) -> None:
    """Find or start a mesh and load its contours, one after the other."""
    environment = {"STT_PROVIDER": "mock", "APP_ENV": "dev", "LOG_LEVEL": "warning"}
    async with (
        open_gateway(asked, BUILD, environment, say) as gateway,
        httpx2.AsyncClient(base_url=gateway.url, timeout=60, trust_env=False) as http,
    ):
        keys = {"user": gateway.user_key, "internal": gateway.service_key}
        for name in contours_of(asked):
            if not keys[name]:
                raise NothingToCall(
                    "/v1/ws/internal needs --service-key (or SERVICE_API_KEYS in the environment); or --contour user"
                )
        for name in contours_of(asked):
            say(f"{CONTOURS[name]}: {asked.meetings} meetings of {asked.seconds:g} s")
            load = Load()
            speakers = [Speaker(number, name, keys[name], asked, gateway, load) for number in range(asked.meetings)]
            await asyncio.gather(*(hold(http, gateway, speaker, load, report) for speaker in speakers))
            measure(asked, name, load, report)


def measure(asked: argparse.Namespace, name: str, load: Load, report: Report) -> None:
    """Put the figures of a contour into the report."""
    report.figures |= {
        **figures_of(f"{name}_ack", load.acknowledged),
        f"{name}_error_rate": load.failed / max(1, load.sockets),
        f"{name}_frames_per_s": sum(load.rates),
        f"{name}_throughput_share": sum(load.rates) * asked.frame_ms / 1_000 / asked.meetings,
    }
    events = latencies(load.event_seconds)
    report.figures |= {
        f"{name}_event_{key[:3]}_seconds": events[key] / 1_000 for key in ("p50_ms", "p95_ms") if events["count"]
    }
    report.details[name] = {"events": load.events, "acknowledged": latencies(load.acknowledged), "late": load.late}
    if load.late > 0.05 * max(1, len(load.acknowledged)):
        report.warnings.append(f"{CONTOURS[name]}: {load.late} frames were sent late: is this machine the limit?")


async def hold(http: httpx2.AsyncClient, gateway: Gateway, speaker: Speaker, load: Load, report: Report) -> None:
    """Hold one meeting: its two sockets; what fails is counted."""
    load.sockets += 2
    try:
        body = {"title": "WebSocket load", "mode": "realtime", "language": speaker.language}
        meeting_id = str((await ask(http, gateway.user_key, "POST", "/v1/meetings/start", body=body))["meeting_id"])
    except Refused as error:
        load.failed += 2
        report.fail(str(error))
        return
    watching = asyncio.create_task(speaker.watch(meeting_id), name="ws.watch")
    for ending in await asyncio.gather(speaker.speak(meeting_id), watching, return_exceptions=True):
        if isinstance(ending, (Broken, OSError, TimeoutError, ConnectionClosed, InvalidHandshake)):
            load.failed += 1
            report.fail(f"{speaker.path}: {ending if str(ending) else type(ending).__name__}")
        elif isinstance(ending, BaseException):
            raise ending


class Speaker:
    """One meeting's session and its watcher."""

    def __init__(
        self, number: int, contour: str, key: str, asked: argparse.Namespace, gateway: Gateway, load: Load
    ) -> None:
        self.language = str(asked.language)
        self.path = CONTOURS[contour]
        self._number = number
        self._asked = asked
        self._headers = shown(key)
        self._url = gateway.socket_url + self.path
        self._load = load
        self._spoken_at = 0.0
        """When sample 0 of the meeting was due."""
        self._spoken = asyncio.Event()
        """Set when nothing more is said."""

    async def speak(self, meeting_id: str) -> None:
        """Hold a session to its end.

        Raises:
            Broken: it did not go as it must.
        """
        asked = self._asked
        pcm = spoken(asked.seconds, language=self.language, offset=7.0 * self._number)
        try:
            async with connect(self._url, additional_headers=self._headers, open_timeout=OPEN_SECONDS) as socket:
                await _say(socket, type="open", meeting_id=meeting_id, session_id=f"guardrail-{self._number}", epoch=1)
                async with asyncio.timeout(OPEN_SECONDS):
                    opened = await _hear(socket, "opened")
                session = _Session(socket, int(opened["window"]), self._load)
                reading = asyncio.create_task(session.read(), name="ws.read")
                try:
                    await self._send(socket, session, pieces(pcm, asked.frame_ms / 1_000))
                    async with asyncio.timeout(FINISH_SECONDS):
                        await reading
                finally:
                    reading.cancel()
                if socket.close_code != 1000:
                    raise Broken(f"the session was closed with {socket.close_code} instead of 1000")
        finally:
            self._spoken.set()

    async def _send(self, socket: ClientConnection, session: _Session, frames: list[bytes]) -> None:
        interval = self._asked.frame_ms / 1_000
        await _say(
            socket, type="track", sequence=1, track=1, participant_id="speaker-1", display_name="Speaker 1",
            basis="SPEAKER_BASIS_OWN_TRACK", language=self.language,
        )  # fmt: skip
        # Speakers do not speak in step.
        self._spoken_at = begun = time.monotonic() + interval * self._number / self._asked.meetings
        position = 0
        for number, pcm in enumerate(frames, start=1):
            due = begun + number * interval  # said by then, not before
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await session.room_for(number + 1)
            self._load.late += time.monotonic() - due > interval
            session.sent_at[number + 1] = time.monotonic()
            await socket.send(encode_frame(number + 1, 1, position, pcm))
            position += len(pcm) // 2
        await session.room_for(len(frames) + 1, nothing_open=True)
        self._load.rates.append(len(frames) / (time.monotonic() - begun))
        await _say(socket, type="end", sequence=len(frames) + 2, end_sample=position)

    async def watch(self, meeting_id: str) -> None:
        """Watch until a while after the last words.

        Raises:
            Broken: no text came.
        """
        segments = 0
        async with connect(self._url, additional_headers=self._headers, open_timeout=OPEN_SECONDS) as socket:
            await _say(socket, type="watch", meeting_id=meeting_id, interim=True)
            patience = asyncio.create_task(self._hang_up(socket), name="ws.patience")
            try:
                async for message in _messages(socket):
                    kind = str(message["type"])
                    self._load.events[kind] = self._load.events.get(kind, 0) + 1
                    if kind == "segment":
                        segments += 1
                        said_at = self._spoken_at + int(message["segment"].get("end_ms", 0)) / 1_000
                        self._load.event_seconds.append(max(0.0, time.monotonic() - said_at))
                    elif kind == "watch_ended" or (kind == "meeting" and message["meeting"]["state"] == "finished"):
                        break
            finally:
                patience.cancel()
        if not segments:
            raise Broken("no segment came to the watcher")

    async def _hang_up(self, socket: ClientConnection) -> None:
        """End a watch that goes on long after the last word."""
        await self._spoken.wait()
        await asyncio.sleep(EVENT_SECONDS)
        await socket.close()


class _Session:
    """What is known of a session's acknowledgements."""

    def __init__(self, socket: ClientConnection, window: int, load: Load) -> None:
        self.sent_at: dict[int, float] = {}
        self._socket = socket
        self._window = window
        self._load = load
        self._durable = 0
        self._ended = False
        self._changed = asyncio.Event()

    async def read(self) -> None:
        """Hear acknowledgements until the session is finished.

        Raises:
            Broken: it ended otherwise.
        """
        finished = False
        try:
            async for message in _messages(self._socket):
                finished = finished or message["type"] == "finished"
                if message["type"] == "durable":
                    self._acknowledge(int(message["sequence"]))
                elif message["type"] == "drain":
                    raise Broken("the room drained during the run")
        finally:
            self._ended = True
            self._changed.set()
        if not finished:
            raise Broken(f"the session ended with {self._socket.close_code} before it was finished")

    async def room_for(self, sequence: int, *, nothing_open: bool = False) -> None:
        """Wait until a message may be sent; with `nothing_open` until it is acknowledged.

        Raises:
            Broken: the session has ended, or nothing is acknowledged any more.
        """
        wanted = sequence if nothing_open else sequence - self._window
        async with asyncio.timeout(FINISH_SECONDS):
            while self._durable < wanted and not self._ended:
                self._changed.clear()
                await self._changed.wait()
        if self._ended:
            raise Broken(f"the session ended with {self._socket.close_code} while it was speaking")

    def _acknowledge(self, sequence: int) -> None:
        now, self._durable = time.monotonic(), max(self._durable, sequence)
        for number in [number for number in self.sent_at if number <= sequence]:
            self._load.acknowledged.append(now - self.sent_at.pop(number))
        self._changed.set()


async def _say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def _hear(socket: ClientConnection, kind: str) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await socket.recv())
    if message["type"] != kind:
        raise Broken(f"{kind!r} was due, but {_told(message)} came")
    return message


async def _messages(socket: ClientConnection) -> AsyncIterator[dict[str, Any]]:
    """Yield what comes until the socket is closed.

    Raises:
        Broken: the gateway says that something is wrong.
    """
    with suppress(ConnectionClosed):  # the close code tells
        async for raw in socket:
            message: dict[str, Any] = json.loads(raw)
            if message["type"] == "error":
                raise Broken(_told(message))
            yield message


def _told(message: dict[str, Any]) -> str:
    problem = message.get("problem", {})
    return f"{problem.get('status')} {problem.get('detail')}" if problem else repr(message["type"])


def say(sentence: str) -> None:
    """Tell how it goes."""
    print(f"{NAME}: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
