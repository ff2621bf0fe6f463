"""Log lines of several rooms as one sequence by time; what a reader is too slow for falls out, and is counted."""

from collections.abc import Iterable
from operator import itemgetter
from typing import NamedTuple

from agent.console.v1 import console_service_pb2 as pb
from agent.ops.v1 import ops_service_pb2 as ops

_MAX_LINES = 10_000
_MAX_BYTES = 16 * 1024 * 1024
_BATCH_LINES = 500
_BATCH_BYTES = 256 * 1024


def time_ns(line: ops.LogLine) -> int:
    """Return when a line was written, in nanoseconds since 1970."""
    return line.time.seconds * 1_000_000_000 + line.time.nanos


class _Waiting(NamedTuple):
    time_ns: int
    arrived_at: float
    size: int
    line: ops.LogLine


class LogMerge:
    """Lines that wait for their turn, at most so many; times of arrival are seconds of the monotonic clock."""

    def __init__(self, *, max_lines: int = _MAX_LINES, max_bytes: int = _MAX_BYTES) -> None:
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        self._due: list[_Waiting] = []
        """Lines whose turn has come, the newest first."""
        self._dropped = 0
        self._away: dict[str, str] = {}
        """What is still to be said of rooms that went away or came back."""

    def take(self, lines: Iterable[ops.LogLine], dropped: int, arrived_at: float) -> None:
        """Add what a room sent."""
        self._dropped += dropped
        for line in lines:
            size = line.ByteSize()
            self._bytes += size
            self._waiting.append(_Waiting(time_ns(line), arrived_at, size, line))
        self._trim()

    def away(self, room: str, error: str) -> None:
        """Say that a room cannot be asked, or, without an error, that it can again."""
        self._away[room] = error

    def release(self, arrived_until: float) -> None:
        """Let lines go that arrived until then, and what is older than one of them: later arrivals may be."""
        self._waiting.sort(key=itemgetter(0))
        last = max((at for at, one in enumerate(self._waiting) if one.arrived_at <= arrived_until), default=-1)
        self._due[:0] = reversed(self._waiting[: last + 1])
        del self._waiting[: last + 1]

    def response(self) -> pb.TailLogsResponse | None:
        """Return the next answer, None when there is nothing to tell."""
        lines: list[ops.LogLine] = []
        size = 0
        while self._due and len(lines) < _BATCH_LINES and (not lines or size + self._due[-1].size <= _BATCH_BYTES):
            one = self._due.pop()
            size += one.size
            lines.append(one.line)
        self._bytes -= size
        if not (lines or self._away or self._dropped):
            return None
        away = [pb.RoomAway(room=room, error=error) for room, error in sorted(self._away.items())]
        response = pb.TailLogsResponse(lines=lines, dropped=self._dropped, away=away)
        self._dropped, self._away = 0, {}
        return response

    def _trim(self) -> None:
        """Forget the oldest lines."""
        excess = len(self._due) + len(self._waiting) > self._max_lines or self._bytes > self._max_bytes
        if not excess:
            return
        self._waiting.sort(key=itemgetter(0))
        while len(self._due) + len(self._waiting) > self._max_lines or self._bytes > self._max_bytes:
            oldest = self._due.pop() if self._due else self._waiting.pop(0)
            self._bytes -= oldest.size
            self._dropped += 1
