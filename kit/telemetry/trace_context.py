"""Where in a trace a task stands; travels as W3C `traceparent` metadata and, for people, as `x-trace-id`."""

import re
from collections.abc import Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass

TRACEPARENT = "traceparent"
TRACE_ID = "x-trace-id"

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_TRACE_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A position in a trace, hex digits as in W3C; `span_id` is empty when only the trace is known."""

    trace_id: str
    span_id: str
    parent_span_id: str = ""

    @property
    def traceparent(self) -> str:
        """The W3C header for what we call from here."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    @classmethod
    def parse(cls, metadata: Mapping[str, str]) -> "TraceContext | None":
        """Read the caller's position from `traceparent`, else `x-trace-id`; None when neither is well formed."""
        match = _TRACEPARENT.fullmatch(metadata.get(TRACEPARENT, ""))
        if match and int(match[1], 16) and int(match[2], 16):
            return cls(match[1], match[2])
        trace_id = metadata.get(TRACE_ID, "").lower()
        return cls(trace_id, "") if _TRACE_ID.fullmatch(trace_id) and int(trace_id, 16) else None


_current: ContextVar[TraceContext | None] = ContextVar("trace_context", default=None)


def current() -> TraceContext | None:
    """Return where this task stands in a trace, None outside of any."""
    return _current.get()


def move_to(position: TraceContext) -> Token[TraceContext | None]:
    """Make `position` this task's; the token leads back."""
    return _current.set(position)


def move_back(token: Token[TraceContext | None]) -> None:
    """Undo `move_to`."""
    _current.reset(token)
