"""A call over a WebSocket: frames are kept until they are durable, and sent again on the next connection."""

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from gateway.live.frame import encode_frame
from tests.chaos.calls.call import Call, CallBroken, Doors, open_http, paced, start_meeting

_AGAIN = frozenset({1000, 1001, 1006, 1011, 1012, 1013, 4409, 4429, 4499, 4504})
_OPEN_SECONDS = 10.0
_SILENCE_SECONDS = 15.0
_RETRY_SECONDS = (0.1, 1.0)

Message = bytes | str


class _Outbox:
    """Messages in order; those before `next` are on their way, those acknowledged are gone."""

    def __init__(self, call: Call) -> None:
        self.closed = False
        self.changed = asyncio.Event()
        self._call = call
        self._messages: deque[tuple[Message, str, bytes]] = deque()
        self._first = 1
        self._next = 1
        self._window = 0

    @property
    def sequence(self) -> int:
        """Number of the next message to be added."""
        return self._first + len(self._messages)

    @property
    def empty(self) -> bool:
        """Whether everything is durable."""
        return not self._messages

    def add(self, message: Message, participant: str = "", pcm: bytes = b"") -> None:
        """Put a message at the end; for audio with whose it is and its samples."""
        self._messages.append((message, participant, pcm))
        self.changed.set()

    def rewind(self, next_sequence: int, window: int) -> None:
        """Go on where the server is."""
        if not self._first <= next_sequence <= self.sequence:
            raise CallBroken(f"the server expects {next_sequence}, there are {self._first} to {self.sequence - 1}")
        self.acknowledge(next_sequence - 1)
        self._next, self._window = next_sequence, window

    def acknowledge(self, sequence: int) -> None:
        """Forget everything up to `sequence` and note what it held."""
        while self._messages and self._first <= sequence:
            _, participant, pcm = self._messages.popleft()
            self._first += 1
            if participant:
                self._call.keep(participant, pcm)
        self._next = max(self._next, self._first)
        self.changed.set()

    def take(self) -> Message | None:
        """The next message to send, None while there is none or the window is full."""
        if self._next >= self.sequence or self._next - self._first >= self._window:
            return None
        self._next += 1
        return self._messages[self._next - 1 - self._first][0]


async def hold(call: Call, doors: Doors) -> None:
    """Send every track in one session.

    Raises:
        CallBroken: the gateway refused a message.
    """
    async with open_http(doors) as http:
        await start_meeting(call, http, "realtime")
    outbox = _Outbox(call)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_speak(call, outbox, doors.pace), name="chaos.socket.speak")
        await _deliver(call, outbox, doors)
    call.acknowledge_all()


async def _speak(call: Call, outbox: _Outbox, pace: float) -> None:
    tracks = {name: number for number, name in enumerate(call.sample.tracks, start=1)}
    for name, number in tracks.items():
        about = {"track": number, "participant_id": name, "display_name": name.title(), "basis": 1}
        outbox.add(_control(outbox, "track", about | {"language": call.sample.language}))
    async for start, said in paced(call.sample, pace):
        for name, data in said.items():
            outbox.add(encode_frame(outbox.sequence, tracks[name], start, data), name, data)
    for number in tracks.values():
        outbox.add(_control(outbox, "track_end", {"track": number, "end_sample": call.sample.samples}))
    outbox.add(_control(outbox, "end", {"end_sample": call.sample.samples}))
    outbox.closed = True


def _control(outbox: _Outbox, kind: str, fields: dict[str, Any]) -> str:
    return orjson.dumps({"type": kind, "sequence": outbox.sequence, **fields}).decode()


async def _deliver(call: Call, outbox: _Outbox, doors: Doors) -> None:
    began = round(1000 * time.time())
    pause, longest = _RETRY_SECONDS
    while not (outbox.closed and outbox.empty):
        call.connections += 1
        opening = {
            "type": "open",
            "meeting_id": call.meeting_id,
            "session_id": "browser",
            "epoch": call.connections,
            "start_time_ms": began,
            "api_key": doors.user_key,
        }
        try:
            async with connect(
                doors.gateway.replace("http", "ws", 1) + "/v1/ws",
                open_timeout=_OPEN_SECONDS,
                close_timeout=1,
                proxy=None,
            ) as socket:
                await socket.send(orjson.dumps(opening).decode())
                await _converse(socket, outbox)
                pause = _RETRY_SECONDS[0]
        except* ConnectionClosed as closed:
            _check(closed)
        except* (OSError, InvalidHandshake):
            pass
        await asyncio.sleep(pause)
        pause = min(2 * pause, longest)


async def _converse(socket: ClientConnection, outbox: _Outbox) -> None:
    """Send and hear until everything is durable or the connection is over."""
    async with asyncio.timeout(_OPEN_SECONDS):
        opened = orjson.loads(await socket.recv())
    if opened["type"] == "error":
        await socket.wait_closed()
        raise socket.protocol.close_exc
    outbox.rewind(opened["next_sequence"], opened["window"])
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(_send(socket, outbox), name="chaos.socket.send")
        try:
            while not (outbox.closed and outbox.empty):
                async with asyncio.timeout(_SILENCE_SECONDS):
                    heard = orjson.loads(await socket.recv())
                if heard["type"] == "durable":
                    outbox.acknowledge(heard["sequence"])
                elif heard["type"] == "drain":
                    return
        finally:
            sending.cancel()


async def _send(socket: ClientConnection, outbox: _Outbox) -> None:
    with suppress(ConnectionClosed):  # who listens hears why
        while True:
            outbox.changed.clear()
            while (message := outbox.take()) is not None:
                await socket.send(message)
            await outbox.changed.wait()


def _check(group: BaseExceptionGroup[ConnectionClosed]) -> None:
    for closed in group.exceptions:
        if isinstance(closed, BaseExceptionGroup):
            _check(closed)
        elif closed.rcvd is not None and closed.rcvd.code not in _AGAIN:
            raise CallBroken(f"the socket was closed: {closed.rcvd.code} {closed.rcvd.reason}")
