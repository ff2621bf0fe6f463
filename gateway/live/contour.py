"""The two WebSocket contours: `/v1/ws` for people and their programs, `/v1/ws/internal` for services.

The first message says what the socket is for and may carry the caller's key, which browsers cannot put in a header:

    {"type": "open", "meeting_id": "...", "session_id": "...", "epoch": 1, "api_key": "..."}
    {"type": "watch", "meeting_id": "...", "after": 0, "interim": true, "api_key": "..."}

Afterwards the other of the two may follow, once each. A session goes on with binary frames (`gateway.live.frame`) and
`track`, `gap`, `track_end` and `end`, JSON objects with the fields of StreamAudioRequest and its `sequence`. Back come
`opened`, `durable`, `status`, `drain` and `finished`. A watch gives `meeting`, `participant`, `interim`, `segment`,
`insight`, `coverage`, `warning`, `levels` and `heartbeat`, each with its `cursor`, and `watch_ended`. `ping` is
answered with `pong`. Before an unhappy end comes `{"type": "error", "problem": {...}}`; the close codes stand in
`gateway.live.closing`.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
from prometheus_client import Gauge
from starlette.websockets import WebSocket

from agent.ingest.v1.audio_service_pb2_grpc import AudioServiceStub
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from gateway import credentials
from gateway.live.audio import AudioBridge
from gateway.live.closing import FINISHED, POLICY, SocketClosed, closed_by
from gateway.live.socket import JsonSocket, PeerGone
from gateway.live.watch import forward_events, watch_request
from gateway.rest import problem
from kit.auth.gate import Gate
from kit.errors import AppError, InvalidArgument
from kit.rpc.edge import REQUEST_ID

_FIRST_MESSAGE_SECONDS = 10.0
_OPEN = Gauge("agent_ws_open", "WebSockets open now.", ("contour",))


class Contour:
    """One of the contours.

    Args:
        name: "user" or "internal", for metrics.
        ingest: channel to the room that takes audio and tells events.
        gate: decides who enters; None leaves that to the room, which decides by its own rules in any case.
    """

    def __init__(self, name: str, ingest: grpc.aio.Channel, gate: Gate | None = None) -> None:
        self._open = _OPEN.labels(name)
        self._ingest = ingest
        self._gate = gate

    async def endpoint(self, websocket: WebSocket) -> None:
        """Serve one socket until either side ends it."""
        await websocket.accept()
        socket = JsonSocket(websocket)
        ending: SocketClosed | None = SocketClosed(FINISHED, "finished")
        with self._open.track_inprogress():
            try:
                async with asyncio.TaskGroup() as tasks:
                    await self._serve(websocket, socket, tasks)
            except* PeerGone:
                ending = None
            except* SocketClosed as group:
                ending = _first(group)
            except* AppError as group:
                ending = closed_by(problem.of_error(_first(group)))
            if ending is not None:
                await socket.close(ending)

    async def _serve(self, websocket: WebSocket, socket: JsonSocket, tasks: asyncio.TaskGroup) -> None:
        first = await _first_message(socket)
        metadata = _shown(websocket.headers, first, websocket.scope["state"].get(REQUEST_ID, ""))
        if self._gate is not None:
            await self._gate.admit(websocket.scope["path"], dict(metadata))
        work = _Work(self._ingest, socket, metadata, tasks)
        try:
            await work.take(first)
            reading = tasks.create_task(work.read(), name="ws.read")
            await work.finished()
            reading.cancel()
        finally:
            work.close()


class _Work:
    """What one socket does: at most one session and one watch."""

    def __init__(
        self, ingest: grpc.aio.Channel, socket: JsonSocket, metadata: credentials.Metadata, tasks: asyncio.TaskGroup
    ) -> None:
        self._audio = AudioServiceStub(ingest)
        self._meetings = MeetingServiceStub(ingest)
        self._socket = socket
        self._metadata = metadata
        self._tasks = tasks
        self._bridge: AudioBridge | None = None
        self._running: dict[str, asyncio.Task[None]] = {}

    async def take(self, message: dict[str, Any] | bytes) -> None:
        """Act on one message."""
        kind = "" if isinstance(message, bytes) else message.get("type")
        if kind in self._running:
            raise InvalidArgument(f"one `{kind}` per socket", field="type")
        if isinstance(message, dict) and kind == "open":
            self._bridge = AudioBridge(self._audio, self._socket, self._metadata)
            self._running["open"] = self._tasks.create_task(self._bridge.acknowledge(), name="ws.acknowledge")
            await self._bridge.open(message)
        elif isinstance(message, dict) and kind == "watch":
            events = forward_events(self._meetings, watch_request(message), self._socket, self._metadata)
            self._running["watch"] = self._tasks.create_task(events, name="ws.events")
        elif kind == "ping":
            await self._socket.send({"type": "pong"})
        elif self._bridge is not None:
            await self._bridge.forward(message)
        else:
            raise InvalidArgument("is `open` or `watch` at first", field="type")

    async def read(self) -> None:
        """Act on every message that comes."""
        while True:
            await self.take(await self._socket.receive())

    def close(self) -> None:
        """End the session's call, also when its task never came to run."""
        if self._bridge is not None:
            self._bridge.close()

    async def finished(self) -> None:
        """Wait until everything that the socket was opened for has ended."""
        while pending := [task for task in self._running.values() if not task.done()]:
            await asyncio.wait(pending)


def _shown(headers: Mapping[str, str], first: dict[str, Any], request_id: str) -> credentials.Metadata:
    """Return the credentials that a socket shows.

    The key that a message carries is meant; a header may come from a browser's or a proxy's habit.
    """
    metadata = credentials.from_headers(headers, request_id=request_id)
    key = first.get("api_key")
    if not isinstance(key, str) or not key:
        return metadata
    shown = {credentials.API_KEY, credentials.AUTHORIZATION}
    kept = tuple(pair for pair in metadata if pair[0] not in shown)
    return (*kept, *(pair for pair in credentials.from_token(key) if pair not in kept))


async def _first_message(socket: JsonSocket) -> dict[str, Any]:
    try:
        async with asyncio.timeout(_FIRST_MESSAGE_SECONDS):
            first = await socket.receive()
    except TimeoutError:
        raise SocketClosed(POLICY, "the first message did not come in time") from None
    if isinstance(first, bytes):
        raise SocketClosed(POLICY, "the first message is a JSON object")
    return first


def _first(group: BaseExceptionGroup[Any]) -> Any:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
