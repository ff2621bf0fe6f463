"""The client of the routes: so many at a time, each asking again as soon as it is answered."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import grpc

from agent.ingest.v1 import audio_service_pb2 as audio
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.audio_service_pb2_grpc import AudioServiceStub
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from bench.durable.servers import KEY
from bench.gateway.room import MEETING_ID

CHUNK = b"\1\0" * 16_000
"""A second of sound."""
_ANSWER_SECONDS = 30.0

Ask = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """One RPC, as an HTTP request and as a call."""

    request: bytes
    call: Callable[[grpc.aio.Channel], Ask]


def _http(method: str, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: bench", f"x-api-key: {KEY}"]
    if method == "POST":
        lines += [f"content-type: {kind}", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _calling(stub: Any, name: str, message: Any) -> Callable[[grpc.aio.Channel], Ask]:
    def on(channel: grpc.aio.Channel) -> Ask:
        rpc = getattr(stub(channel), name)
        return lambda: rpc(message, metadata=(("x-api-key", KEY),), timeout=_ANSWER_SECONDS)

    return on


ROUTES = {
    "get": Route(
        _http("GET", f"/v1/meetings/{MEETING_ID}"),
        _calling(MeetingServiceStub, "GetMeeting", meetings.GetMeetingRequest(meeting_id=MEETING_ID)),
    ),
    "start": Route(
        _http("POST", "/v1/meetings/start", b'{"title": "Bench", "mode": "realtime", "language": "en"}'),
        _calling(
            MeetingServiceStub, "StartMeeting",
            meetings.StartMeetingRequest(title="Bench", mode="realtime", language="en"),
        ),
    ),
    "chunk": Route(
        _http("POST", f"/v1/meetings/{MEETING_ID}/chunks?sequence=1", CHUNK, "application/octet-stream"),
        _calling(
            AudioServiceStub, "PutChunk", audio.PutChunkRequest(meeting_id=MEETING_ID, content=CHUNK, sequence=1)
        ),
    ),
}  # fmt: skip


class Connection:
    """One HTTP connection that is kept; it reads no more of HTTP than these answers need."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._request = request

    async def ask(self) -> bytes:
        """Return the body of the answer.

        Raises:
            RuntimeError: it is not 200.
        """
        self._writer.write(self._request)
        async with asyncio.timeout(_ANSWER_SECONDS):
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            body = await self._reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r")[0]))
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(f"{head.partition(b' ')[2][:3].decode()}: {body[:200]!r}")
        return body

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


@asynccontextmanager
async def over_http(address: str, route: Route, count: int) -> Any:
    """Give the block so many ways of asking, each on a connection of its own."""
    host, _, port = address.rpartition(":")
    async with AsyncExitStack() as stack:
        asks = []
        for _ in range(count):
            connection = Connection(*await asyncio.open_connection(host, int(port)), route.request)
            stack.callback(connection.close)
            asks.append(connection.ask)
        yield asks


@asynccontextmanager
async def over_grpc(address: str, route: Route, count: int) -> Any:
    """Give the block so many ways of asking, all on one channel."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield [route.call(channel)] * count


@dataclass(slots=True)
class Answers:
    """What came of a load."""

    seconds: list[float] = field(default_factory=list)
    """From asking to the answer, of each request."""
    cpu: float = 0.0
    """Processor time of the server meanwhile, in seconds."""
    wall: float = 0.0


async def load(asks: list[Ask], seconds: float, cpu_seconds: Callable[[], float], answers: Answers) -> None:
    """Ask for so long and add what comes of it; at the end nothing is under way.

    Args:
        asks: so many at a time.
        seconds: after these no new request begins.
        cpu_seconds: gives the server's processor time so far.
        answers: what is added to.
    """
    start, used = perf_counter(), cpu_seconds()

    async def repeat(ask: Ask) -> None:
        while (began := perf_counter()) < start + seconds:
            await ask()
            answers.seconds.append(perf_counter() - began)

    async with asyncio.TaskGroup() as tasks:
        for number, ask in enumerate(asks):
            tasks.create_task(repeat(ask), name=f"bench.request.{number}")
    answers.cpu += cpu_seconds() - used
    answers.wall += perf_counter() - start
