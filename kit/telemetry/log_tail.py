"""The last log lines of this process, kept for operators who look on.

Whoever writes a line puts it into a ring and goes on. Readers come when they like, with the number of the line that
they want next: nothing is queued for them and no writer waits, so one that is slow learns how many lines it missed.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from time import time_ns
from typing import Any, NamedTuple

from structlog.typing import EventDict, WrappedLogger

LEVELS = ("debug", "info", "warning", "error")
"""Levels of a line, the least first."""

MAX_LINES = 2_000
MAX_VALUE_CHARACTERS = 2_000
MAX_FIELDS = 40

_MAX_LINE_CHARACTERS = 16_000
_MAX_CHARACTERS = 8_000_000  # of all lines: a room that logs large errors must not grow by hundreds of megabytes
_CUT = "..."
_LEVEL_OF = {"warn": "warning", "exception": "error", "critical": "error", "fatal": "error"} | {
    level: level for level in LEVELS
}
_OWN = frozenset({"event", "level", "timestamp", "trace_id"})
"""What a line has its own place for."""

_unheard: ContextVar[bool] = ContextVar("log_unheard", default=False)


class TailLine(NamedTuple):
    """One line; its texts are bounded. `fields` are the values that belong to the message, as text."""

    time_ns: int
    """When it was written, in nanoseconds since 1970."""
    level: str
    message: str
    fields: Mapping[str, str]
    trace_id: str
    characters: int
    """Length of all texts together."""

    @property
    def rank(self) -> int:
        """Place of its level in LEVELS."""
        return LEVELS.index(self.level)

    def has(self, text: str) -> bool:
        """Whether the message or a value has a text in it; `text` is casefolded."""
        return text in self.message.casefold() or any(text in value.casefold() for value in self.fields.values())


@dataclass(frozen=True, slots=True)
class Read:
    """What a reader gets: lines, the number to ask with next, and how many lines fell out of the ring before."""

    lines: Sequence[TailLine]
    following: int
    missed: int = 0


class LogTail:
    """The ring. Any thread may write and read; as a processor of structlog it takes each line.

    Args:
        max_lines: lines kept at most.
        max_characters: of all of them together.
    """

    def __init__(self, *, max_lines: int = MAX_LINES, max_characters: int = _MAX_CHARACTERS) -> None:
        self._lines: deque[TailLine] = deque()
        self._max_lines = max_lines
        self._max_characters = max_characters
        self._characters = 0
        self._first = 0
        """Number of the oldest line that is kept; it grows with every line that falls out."""
        self._lock = threading.Lock()
        self.room = ""
        """Name that lines carry by themselves; it is not worth a field."""

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Keep a line as it is just before it is rendered; the line itself goes on unchanged."""
        if not _unheard.get():
            try:
                self.keep(_line(event, method, self.room))
            except Exception:  # an edge: a value that cannot be shown must not break who logs it
                return event
        return event

    def keep(self, line: TailLine) -> None:
        """Add a line; the oldest fall out."""
        with self._lock:
            self._lines.append(line)
            self._characters += line.characters
            while len(self._lines) > self._max_lines or (
                self._characters > self._max_characters and len(self._lines) > 1
            ):
                self._characters -= self._lines.popleft().characters
                self._first += 1

    def everything(self) -> Read:
        """Return every line that is kept, oldest first."""
        with self._lock:
            return Read(list(self._lines), self._first + len(self._lines))

    def since(self, number: int, limit: int) -> Read:
        """Return the lines from `number` on, oldest first, at most `limit` of them."""
        with self._lock:
            start = max(number, self._first)
            lines = list(islice(self._lines, start - self._first, start - self._first + limit))
            return Read(lines, start + len(lines), start - number)


@contextmanager
def unheard() -> Iterator[None]:
    """Keep the lines that the block writes out of the ring: those of a tail itself, which would feed each other."""
    token = _unheard.set(True)
    try:
        yield
    finally:
        _unheard.reset(token)


PROCESS = LogTail()
"""The lines of this process; `kit.telemetry.logs` writes to it."""


def pid() -> int:
    """Return the process that the lines are of."""
    return os.getpid()


def _line(event: EventDict, method: str, room: str) -> TailLine:
    message = _text(event.get("event", ""))
    fields: dict[str, str] = {}
    characters = len(message)
    for name, value in event.items():
        if name in _OWN or name[:1] == "_" or (name == "room" and value == room):
            continue
        text = _ending(value) if name == "exception" else _text(value)
        characters += len(name) + len(text)
        if len(fields) >= MAX_FIELDS or characters > _MAX_LINE_CHARACTERS:
            fields[_CUT] = "more fields than are kept"
            characters = min(characters, _MAX_LINE_CHARACTERS)
            break
        fields[name] = text
    return TailLine(
        time_ns(),
        _LEVEL_OF.get(event.get("level", method), "info"),
        message,
        fields,
        _text(event.get("trace_id", "")),
        characters,
    )


def _text(value: Any) -> str:
    text = value if type(value) is str else str(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[: MAX_VALUE_CHARACTERS - len(_CUT)] + _CUT


def _ending(value: Any) -> str:
    """Shorten a traceback, whose last lines name the error."""
    text = str(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else _CUT + text[-MAX_VALUE_CHARACTERS + len(_CUT) :]
