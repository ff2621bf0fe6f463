"""The log lines of every room as one stream: each room is asked with the operator's credentials, always again."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from time import monotonic
from typing import Any

import grpc

from agent.console.v1 import console_service_pb2 as pb
from agent.ops.v1 import ops_service_pb2 as ops
from agent.ops.v1.ops_service_pb2_grpc import OpsServiceStub
from gateway import credentials
from gateway.console.errors import why_away
from gateway.console.log_merge import LogMerge, time_ns
from gateway.console.replicas import Replica, Replicas
from kit.errors import InvalidArgument
from kit.ops.logs import HEARTBEAT_SECONDS, MAX_BACKLOG, Wanted, tail_logs
from kit.rpc.calls import held
from kit.rpc.client import open_channel
from kit.telemetry.log_tail import LogTail, unheard

_HOLD_SECONDS = 0.3  # rooms send 4 times a second: what one sends later may be older
_PERIOD_SECONDS = 0.25
_FIRST_ANSWERS_SECONDS = 2.0
_SILENCE_SECONDS = 12.0  # rooms say every 5 s that they live
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0

Tail = Callable[[ops.TailLogsRequest], AsyncGenerator[ops.TailLogsResponse, None]]


class MeshLogs:
    """Whose lines there are.

    Args:
        room: name of this room, whose lines need not be asked for.
        tail: where they are.
        replicas: of the other rooms.
        draining: set when this room starts to stop.
    """

    def __init__(self, room: str, tail: LogTail, replicas: Replicas, draining: asyncio.Event) -> None:
        self._room = room
        self._tail = tail
        self._replicas = replicas
        self._draining = draining

    async def follow(self, request: pb.TailLogsRequest, context: Any) -> AsyncGenerator[pb.TailLogsResponse, None]:
        """Give the last lines of every room by time, an answer without any, then what is new.

        Raises:
            InvalidArgument: see `kit.ops.logs.Wanted`, or there is no such room.
        """
        Wanted.of(request)
        names = [*self._replicas.rooms, self._room]
        if unknown := set(request.rooms) - set(names):
            raise InvalidArgument(f"is one of {', '.join(names)}, not {min(unknown)[:32]!r}", field="rooms")
        rooms = [name for name in names if not request.rooms or name in request.rooms]
        metadata = credentials.passed_on(context)
        asked = ops.TailLogsRequest(min_level=request.min_level, contains=request.contains, backlog=request.backlog)

        def tails() -> dict[str, Tail]:
            """Return how to hear everybody who is there now."""
            found = {
                replica.name: self._tail_of(replica, metadata)
                for room in rooms
                if room != self._room
                for replica in self._replicas.of(room)
            }
            return found | ({self._room: self._own} if self._room in rooms else {})

        with unheard():  # what this stream writes itself would be the next lines to send
            async with (
                _open_feed(tails, self._replicas, asked) as feed,
                aclosing(feed.responses(self._draining)) as responses,
            ):
                async for response in responses:
                    yield response

    def _own(self, request: ops.TailLogsRequest) -> AsyncGenerator[ops.TailLogsResponse, None]:
        return tail_logs(self._room, self._tail, Wanted.of(request), self._draining)

    def _tail_of(self, replica: Replica, metadata: credentials.Metadata) -> Tail:
        return lambda request: _asked(replica, request, metadata)


class _Feed:
    """What one client gets."""

    def __init__(self, request: ops.TailLogsRequest) -> None:
        self._request = request
        self._merge = LogMerge()
        self._unanswered: set[str] = set()
        self._all_answered = asyncio.Event()
        self._away: dict[str, str] = {}
        self._listening: dict[str, asyncio.Task[None]] = {}
        self.attending: asyncio.Task[None] | None = None

    async def responses(self, draining: asyncio.Event) -> AsyncGenerator[pb.TailLogsResponse, None]:
        """Give answers until the gateway drains."""
        await _set_within(self._all_answered, _FIRST_ANSWERS_SECONDS)
        hold_seconds, sent_at = 0.0, -HEARTBEAT_SECONDS
        while True:
            last = await _set_within(draining, _PERIOD_SECONDS)
            for task in (self.attending, *self._listening.values()):
                if task is not None and task.done():  # never while all is well
                    task.result()
            self._merge.release(monotonic() - (0.0 if last else hold_seconds))
            while (response := self._merge.response()) is not None:
                yield response
                # The lines from before end with an answer without any, which is due at once.
                sent_at = monotonic() if hold_seconds else sent_at
            if monotonic() - sent_at >= HEARTBEAT_SECONDS or not hold_seconds:
                yield pb.TailLogsResponse()
                sent_at = monotonic()
            if last:
                return
            hold_seconds = _HOLD_SECONDS

    async def attend(self, tails: Callable[[], Mapping[str, Tail]], replicas: Replicas) -> None:
        """Hear who is there now, and leave who is not any more."""
        try:
            while True:
                wanted = tails()
                for name in self._listening.keys() - wanted.keys():
                    self._listening.pop(name).cancel()
                    self._tell(name, "")
                new = {name: tail for name, tail in wanted.items() if name not in self._listening}
                self._unanswered |= new.keys()
                for name, tail in new.items():
                    self._listening[name] = asyncio.create_task(
                        self._listen(name, tail, self._request), name=f"console.logs.{name}"
                    )
                await replicas.changed()
        finally:
            for task in self._listening.values():
                task.cancel()
            await asyncio.gather(*self._listening.values(), return_exceptions=True)

    async def _listen(self, room: str, tail: Tail, request: ops.TailLogsRequest) -> None:
        """Hear a room for ever; lines that were heard before a stream broke are not taken twice."""
        pause_seconds, heard_until = _FIRST_PAUSE_SECONDS, 0
        while True:
            known_until = heard_until
            try:
                async with aclosing(tail(request)) as responses:
                    async for response in responses:
                        lines = [line for line in response.lines if time_ns(line) > known_until]
                        self._merge.take(lines, response.dropped, monotonic())
                        heard_until = max([heard_until, *(time_ns(line) for line in lines)])
                        self._tell(room, "")
                        pause_seconds = _FIRST_PAUSE_SECONDS
                error = "the room ended the stream"
            except grpc.aio.AioRpcError as failure:
                error = why_away(failure)
            except TimeoutError:
                error = f"silent for {_SILENCE_SECONDS:g} s"
            self._tell(room, error)
            await asyncio.sleep(pause_seconds * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
            if heard_until:
                request = ops.TailLogsRequest(
                    min_level=request.min_level, contains=request.contains, backlog=MAX_BACKLOG
                )

    def _tell(self, room: str, error: str) -> None:
        if self._away.get(room, "") != error:
            self._away[room] = error
            self._merge.away(room, error)
        self._unanswered.discard(room)
        if not self._unanswered:
            self._all_answered.set()


@asynccontextmanager
async def _open_feed(
    tails: Callable[[], Mapping[str, Tail]], replicas: Replicas, request: ops.TailLogsRequest
) -> AsyncIterator[_Feed]:
    """Listen to rooms for the block. No TaskGroup: it would turn the end of a generator around it into a failure."""
    feed = _Feed(request)
    feed.attending = asyncio.create_task(feed.attend(tails, replicas), name="console.logs")
    try:
        yield feed
    finally:
        feed.attending.cancel()
        await asyncio.gather(feed.attending, return_exceptions=True)


async def _asked(
    replica: Replica, request: ops.TailLogsRequest, metadata: credentials.Metadata
) -> AsyncGenerator[ops.TailLogsResponse, None]:
    async with open_channel(replica.target, api_key=None, tls=replica.tls()) as channel:
        stub: Any = OpsServiceStub(channel)
        with held(stub.TailLogs(request, metadata=metadata)) as call:
            while True:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    response = await call.read()
                if response is grpc.aio.EOF:
                    return
                yield response


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
