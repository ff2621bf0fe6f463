"""How a row is doing: a glyph, a word, a style, and its place when attention decides the order."""

from dataclasses import dataclass
from typing import Literal

from tui.glyphs import Glyphs
from tui.rows import BreakerRow, QueueRow, RoomRow, SessionRow

Style = Literal["text", "dim", "head", "bold", "ok", "warn", "error", "info", "accent", "track"]

# A speaker who does not pause is decided after 25 s at the latest; until then waiting is not lagging.
LAG_WARN_MS = 30_000
LAG_ERROR_MS = 60_000
OLDEST_WARN_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Condition:
    """`rank` is 0 for what needs attention most; `glyph` is the name of a field of `Glyphs`."""

    rank: int
    glyph: str
    style: Style
    word: str

    def mark(self, glyphs: Glyphs) -> str:
        """The glyph of a set."""
        return str(getattr(glyphs, self.glyph))


_SESSIONS = {
    "FAILED": Condition(0, "error", "error", "FAILED"),
    "STALLED": Condition(1, "stalled", "error", "STALLED"),
    "RECONN": Condition(2, "again", "warn", "RECONN"),
    "DEGRADED": Condition(3, "warn", "warn", "DEGRADED"),
    "CONNECT": Condition(4, "idle", "info", "CONNECT"),
    "LIVE": Condition(5, "ok", "ok", "LIVE"),
    "ENDED": Condition(7, "idle", "dim", "ENDED"),
}
_ROOMS = {
    "away": Condition(0, "error", "error", "AWAY"),
    "not_serving": Condition(1, "warn", "warn", "NOT READY"),
    "draining": Condition(2, "again", "warn", "DRAINING"),
    "serving": Condition(3, "ok", "ok", "SERVING"),
}
_BREAKERS = {
    "open": Condition(0, "error", "error", "OPEN"),
    "half_open": Condition(1, "half", "warn", "HALF-OPEN"),
    "closed": Condition(2, "ok", "ok", "CLOSED"),
}


def session_condition(row: SessionRow) -> Condition:
    """Return how a session is doing; a state of a newer gateway is shown as it is."""
    return _SESSIONS.get(row.state) or Condition(6, "idle", "info", row.state.upper())


def room_condition(row: RoomRow) -> Condition:
    """Return how a room is doing."""
    return _ROOMS.get(row.state) or Condition(2, "idle", "info", row.state.upper())


def queue_condition(row: QueueRow) -> Condition:
    """Return how a queue is doing: dead letters first, then jobs that wait too long."""
    if row.dead:
        return Condition(0, "error", "error", "DEAD")
    if row.error:
        return Condition(1, "idle", "warn", "UNKNOWN")
    if row.oldest_age_seconds >= OLDEST_WARN_SECONDS:
        return Condition(2, "warn", "warn", "LATE")
    return Condition(3, "ok", "ok", "OK")


def breaker_condition(row: BreakerRow) -> Condition:
    """Return how a breaker is doing."""
    return _BREAKERS.get(row.state) or Condition(1, "idle", "info", row.state.upper())


def lag_style(lag_ms: int) -> Style:
    """Return the style for a lag."""
    return "error" if lag_ms >= LAG_ERROR_MS else "warn" if lag_ms >= LAG_WARN_MS else "text"
