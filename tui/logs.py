"""The log lines of the mesh as their stream tells them. No Textual here; texts are clean."""

from bisect import insort
from collections import deque
from dataclasses import dataclass
from functools import partial

from agent.console.v1 import console_service_pb2 as pb
from agent.ops.v1.ops_service_pb2 import LogLine
from tui.clean import clean

LEVELS = ("debug", "info", "warning", "error")

KEPT_LINES = 5000
_MAX_VALUE_CHARACTERS = 2000
_MAX_FIELDS = 48


@dataclass(frozen=True, slots=True)
class LogRow:
    """One line. `number` is its own, so that two equal lines are two."""

    time_ns: int
    number: int
    level: str
    room: str
    pid: int
    message: str
    fields: tuple[tuple[str, str], ...]
    """Names and values, by name; the end of a traceback stands last."""
    trace_id: str
    moment: str
    """When it was written, RFC 3339 in UTC with milliseconds."""
    said: str
    """Everything that the filter looks at, on one line."""

    @property
    def rank(self) -> int:
        """How bad it is: the place of the level in LEVELS."""
        return LEVELS.index(self.level) if self.level in LEVELS else 1

    @property
    def clock(self) -> str:
        """The time of the day with milliseconds."""
        return self.moment[11:23]

    @property
    def details(self) -> str:
        """The fields in one text."""
        return " ".join(f"{name}={value}" for name, value in self.fields)


class LogLines:
    """Takes the answers of TailLogs and keeps the newest lines by time.

    Args:
        ascii_only: whether texts are transliterated for a terminal without Unicode.
        kept: lines at most.
    """

    def __init__(self, *, ascii_only: bool = False, kept: int = KEPT_LINES) -> None:
        self.rows: list[LogRow] = []
        self.missed = 0
        """Lines that came faster than they could be read."""
        self.away: dict[str, str] = {}
        """Rooms that cannot be asked now, with the reason."""
        self.problem = ""
        """Why there is no stream."""
        self.asked = False
        """Whether the stream has begun."""
        self.version = 0
        self._kept = kept
        self._taken = 0
        self._known: set[tuple[object, ...]] = set()
        self._known_order: deque[tuple[object, ...]] = deque()
        self._clean = partial(clean, ascii_only=ascii_only)
        self._clean_value = partial(clean, ascii_only=ascii_only, limit=_MAX_VALUE_CHARACTERS)

    def take(self, answer: pb.TailLogsResponse) -> list[LogRow]:
        """Take one answer and return the lines that are new, oldest first.

        A stream that was taken up again begins with lines that are known.
        """
        fresh = [self._row(line) for line in answer.lines if self._is_new(line)]
        for row in fresh:
            if self.rows and row.time_ns < self.rows[-1].time_ns:
                insort(self.rows, row, key=lambda one: one.time_ns)
            else:
                self.rows.append(row)
        del self.rows[: max(0, len(self.rows) - self._kept)]
        self.missed += answer.dropped
        for room in answer.away:
            name, error = self._clean(room.room), self._clean(room.error)
            if error:
                self.away[name] = error
            else:
                self.away.pop(name, None)
        if fresh or answer.dropped or answer.away or self.problem or not self.asked:
            self.version += 1
        self.problem, self.asked = "", True
        return fresh

    def lost(self, problem: str) -> None:
        """Say why there is no stream."""
        self.problem = problem
        self.away.clear()
        self.version += 1

    def _is_new(self, line: LogLine) -> bool:
        known = (
            line.time.seconds,
            line.time.nanos,
            line.room,
            line.pid,
            line.message,
            line.trace_id,
            tuple(sorted(line.fields.items())),
        )
        if known in self._known:
            return False
        self._known.add(known)
        self._known_order.append(known)
        if len(self._known_order) > 2 * self._kept:  # older lines may come again as long as some room keeps them
            self._known.discard(self._known_order.popleft())
        return True

    def _row(self, line: LogLine) -> LogRow:
        self._taken += 1
        fields = sorted(line.fields.items(), key=lambda field: (field[0] == "exception", field[0]))[:_MAX_FIELDS]
        cleaned = tuple((self._clean(name), self._clean_value(value)) for name, value in fields)
        level, room, message = self._clean(line.level), self._clean(line.room), self._clean_value(line.message)
        trace_id = self._clean(line.trace_id)
        details = " ".join(f"{name}={value}" for name, value in cleaned)
        return LogRow(
            time_ns=line.time.seconds * 1_000_000_000 + line.time.nanos,
            number=self._taken,
            level=level,
            room=room,
            pid=line.pid,
            message=message,
            fields=cleaned,
            trace_id=trace_id,
            moment=_moment(line),
            said=f"{level} {room} {message} {details} {trace_id}".casefold(),
        )


def _moment(line: LogLine) -> str:
    try:
        return f"{line.time.ToDatetime():%Y-%m-%dT%H:%M:%S}.{line.time.nanos // 1_000_000:03}Z"
    except (ValueError, OverflowError):  # a moment of no calendar
        return "0001-01-01T00:00:00.000Z"
