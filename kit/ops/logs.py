"""The room's log lines as operators follow them: the last ones, then each new one, in batches."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from agent.ops.v1 import ops_service_pb2 as ops
from kit.errors import InvalidArgument
from kit.telemetry.log_tail import LEVELS, LogTail, TailLine, pid

DEFAULT_BACKLOG = 200
MAX_BACKLOG = 1000
MAX_CONTAINS_CHARACTERS = 200
HEARTBEAT_SECONDS = 5.0

_BATCH_SECONDS = 0.25
_BATCH_LINES = 500
_BATCH_CHARACTERS = 256 * 1024


class Asked(Protocol):
    """What requests for log lines have in common."""

    @property
    def min_level(self) -> str: ...
    @property
    def contains(self) -> str: ...
    @property
    def backlog(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines a caller wants."""

    rank: int
    contains: str
    backlog: int

    @classmethod
    def of(cls, request: Asked) -> "Wanted":
        """Read a request.

        Raises:
            InvalidArgument: the level is unknown, the text too long or the backlog too large.
        """
        if request.min_level and request.min_level not in LEVELS:
            raise InvalidArgument(f"is not one of {', '.join(LEVELS)}", field="min_level")
        if len(request.contains) > MAX_CONTAINS_CHARACTERS:
            raise InvalidArgument(f"must have at most {MAX_CONTAINS_CHARACTERS} characters", field="contains")
        if not 0 <= request.backlog <= MAX_BACKLOG:
            raise InvalidArgument(f"must be 0 to {MAX_BACKLOG}", field="backlog")
        rank = LEVELS.index(request.min_level) if request.min_level else 0
        return cls(rank, request.contains.casefold(), request.backlog or DEFAULT_BACKLOG)

    def choose(self, lines: Iterable[TailLine]) -> list[TailLine]:
        """Return the lines that meet every condition."""
        return [line for line in lines if line.rank >= self.rank and (not self.contains or line.has(self.contains))]


async def tail_logs(
    room: str, tail: LogTail, wanted: Wanted, draining: asyncio.Event
) -> AsyncGenerator[ops.TailLogsResponse, None]:
    """Give the last lines at once, then new ones at most 4 times a second until the room drains.

    The first answer comes at once, without lines if there are none; then one every 5 s when nothing is written.

    Args:
        room: name that the lines get.
        tail: where they are kept.
        wanted: which of them.
        draining: set when the room starts to stop.
    """
    kept = tail.everything()
    backlog, number = wanted.choose(kept.lines)[-wanted.backlog :], kept.following
    for batch in _batches(backlog):
        yield _response(room, batch)
    sent_at = monotonic()
    if not backlog:
        yield ops.TailLogsResponse()
    missed = 0
    while True:
        last = await _drains_within(draining, _BATCH_SECONDS)  # asked before the lines, so that the last ones are sent
        read = tail.since(number, _BATCH_LINES)
        number, missed = read.following, missed + read.missed
        lines = wanted.choose(read.lines)
        if lines or missed or monotonic() - sent_at >= HEARTBEAT_SECONDS:
            sent_at = monotonic()
            for batch in _batches(lines) if lines else [[]]:
                yield _response(room, batch, missed)
                missed = 0
        if last:
            return


def _batches(lines: Iterable[TailLine]) -> Iterator[list[TailLine]]:
    batch: list[TailLine] = []
    characters = 0
    for line in lines:
        if batch and (len(batch) >= _BATCH_LINES or characters + line.characters > _BATCH_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(line)
        characters += line.characters
    if batch:
        yield batch


def _response(room: str, lines: Iterable[TailLine], dropped: int = 0) -> ops.TailLogsResponse:
    return ops.TailLogsResponse(lines=[_message(room, line) for line in lines], dropped=dropped)


def _message(room: str, line: TailLine) -> ops.LogLine:
    message = ops.LogLine(
        level=line.level,
        room=room,
        pid=pid(),
        message=line.message,
        fields=line.fields,
        trace_id=line.trace_id,
    )
    message.time.FromNanoseconds(line.time_ns)
    return message


async def _drains_within(draining: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await draining.wait()
    except TimeoutError:
        return False
    return True
