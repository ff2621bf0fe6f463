"""ConsoleService: a paged snapshot, then deltas, never more often than the client wants, and a heartbeat."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import islice
from time import monotonic
from typing import Any

from google.protobuf.message import Message

from agent.console.v1 import console_service_pb2 as pb
from agent.console.v1.console_service_pb2_grpc import ConsoleServiceServicer
from gateway.console.board import TOPICS, Board, page_of
from kit.errors import InvalidArgument, Unimplemented
from kit.ids import new_id

_DEFAULT_HZ = 2
_MAX_HZ = 10
_HEARTBEAT_SECONDS = 1.0
_PAGE_ROWS = 200


class ConsoleServicer(ConsoleServiceServicer):
    """Answers from the board. The epoch is this run of the gateway."""

    def __init__(self, board: Board, draining: asyncio.Event) -> None:
        self._board = board
        self._draining = draining
        self._epoch = new_id()

    async def WatchConsole(
        self, request: pb.WatchConsoleRequest, context: Any
    ) -> AsyncIterator[pb.WatchConsoleResponse]:
        feed = _Feed(self._board, _topics(request), _period_seconds(request))
        sequence = 0
        async for frame in feed.frames(self._draining):
            sequence += 1
            frame.epoch, frame.sequence = self._epoch, sequence
            yield frame

    async def RunAction(self, request: pb.RunActionRequest, context: Any) -> pb.RunActionResponse:
        raise Unimplemented(rpc="RunAction")


class _Feed:
    """What one client gets."""

    def __init__(self, board: Board, topics: frozenset[str], period_seconds: float) -> None:
        self._board = board
        self._topics = topics
        self._period_seconds = period_seconds

    async def frames(self, draining: asyncio.Event) -> AsyncIterator[pb.WatchConsoleResponse]:
        """Give frames until the server drains; the epoch and the sequence are the caller's to set."""
        version, sent_at = -1, monotonic()
        while not draining.is_set():
            started = monotonic()
            changes = self._board.changes_since(version, self._topics) if version >= 0 else None
            if changes is None:
                everything = self._board.everything(self._topics)
                version, sent_at = everything.version, started
                for page in _pages(everything.rows):
                    yield pb.WatchConsoleResponse(snapshot=page)
            elif changes.rows or changes.gone:
                version, sent_at = changes.version, started
                yield pb.WatchConsoleResponse(delta=page_of(changes.rows.items(), changes.gone))
            else:
                version = changes.version
                if started - sent_at >= _HEARTBEAT_SECONDS:
                    sent_at = started
                    yield pb.WatchConsoleResponse(heartbeat=pb.ConsoleHeartbeat())
            await _pause(draining, self._period_seconds - (monotonic() - started))
            await self._news(version, draining, within_seconds=sent_at + _HEARTBEAT_SECONDS - monotonic())

    async def _news(self, version: int, draining: asyncio.Event, *, within_seconds: float) -> None:
        """Wait until there is something to tell, at most until the next heartbeat is due."""
        changed = asyncio.create_task(self._board.changed(version), name="console.changed")
        drained = asyncio.create_task(draining.wait(), name="console.drained")
        try:
            await asyncio.wait(
                {changed, drained}, timeout=max(0.0, within_seconds), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            changed.cancel()
            drained.cancel()


def _pages(rows: Mapping[str, Message]) -> Iterator[pb.ConsolePage]:
    remaining, left = iter(rows.items()), len(rows)
    while True:
        page = list(islice(remaining, _PAGE_ROWS))
        left -= len(page)
        yield page_of(page, more=left > 0)
        if left <= 0:
            return


async def _pause(draining: asyncio.Event, seconds: float) -> None:
    if seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            await draining.wait()
    except TimeoutError:
        return


def _topics(request: pb.WatchConsoleRequest) -> frozenset[str]:
    if unknown := set(request.topics) - set(TOPICS):
        raise InvalidArgument(f"is one of {', '.join(TOPICS)}, not {min(unknown)[:32]!r}", field="topics")
    return frozenset(request.topics or TOPICS)


def _period_seconds(request: pb.WatchConsoleRequest) -> float:
    if not 0 <= request.max_hz <= _MAX_HZ:
        raise InvalidArgument(f"is at most {_MAX_HZ}", field="max_hz")
    return 1 / (request.max_hz or _DEFAULT_HZ)
