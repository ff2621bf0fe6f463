"""The table of live sessions."""

from collections.abc import Callable, Mapping
from shlex import quote
from typing import Any, ClassVar

from tui.condition import lag_style, session_condition
from tui.glyphs import Glyphs, gauge
from tui.quantities import count, duration, milliseconds
from tui.rows import SessionRow
from tui.view import View
from tui.widgets.columns import Column
from tui.widgets.runs import Runs, fit
from tui.widgets.table import LiveTable

_RESORT_SECONDS = 2.0  # rows that change places more often cannot be read
_LOUDEST = 255
SHORT_ID = 8


class SessionsTable(LiveTable[SessionRow]):
    """Worst first, or by another order; only what the filter lets through."""

    ORDERS: ClassVar[Mapping[str, Callable[[SessionRow], tuple[Any, ...]]]] = {
        "attention": lambda row: (session_condition(row).rank, -row.age_seconds),
        "lag": lambda row: (-row.lag_ms,),
        "age": lambda row: (-row.age_seconds,),
        "words": lambda row: (-row.words,),
        "meeting": lambda row: (row.title.casefold(),),
    }

    def __init__(self, view: View) -> None:
        super().__init__(view, _columns(view.glyphs), id="sessions")
        self.filtered = True
        self._sorted_at = 0.0
        self._sorted_by: tuple[str, bool, str] = ("", False, "")

    def rows(self) -> Mapping[str, SessionRow]:
        return self.view.tables.sessions

    def order(self) -> list[str]:
        shown = self.shown()
        wish = (self.order_name, self.backwards, self.view.filter.text)
        rested = self.view.now - self._sorted_at >= _RESORT_SECONDS
        if not rested and wish == self._sorted_by and shown.keys() == set(self.keys):
            return self.keys
        self._sorted_at, self._sorted_by = self.view.now, wish
        return self.sorted(shown)

    def labels(self) -> tuple[str, str]:
        title = self.titled("sessions")
        parts = [self.sorted_by()]
        if row := self.cursor_row:
            about = f"{row.meeting_id} {self.view.glyphs.middle} {row.note}" if row.note else row.meeting_id
            room = self.size.width - len(parts[0]) - 8
            parts.insert(0, fit(about, min(len(about), max(room, 0)), dots=self.view.glyphs.dots))
        return title, "   ".join(part for part in parts if part)

    def empty(self) -> str:
        if self.rows():
            return "no session matches the filter, esc clears it"
        return "no live session" if self.view.link_state in {"live", "stale"} else super().empty()

    def command(self) -> str | None:
        return f"tail {quote(self.cursor_key)}" if self.cursor_key else None


def _columns(glyphs: Glyphs) -> list[Column[SessionRow]]:
    dots = glyphs.dots

    def state(row: SessionRow, width: int) -> Runs:
        condition = session_condition(row)
        word = "text" if condition.word == "LIVE" else condition.style  # only what is not normal is coloured
        return [(f"{condition.mark(glyphs)} ", condition.style), (fit(condition.word, width - 2, dots=dots), word)]

    def title(row: SessionRow, width: int) -> Runs:
        return [(fit(row.title or "(no title)", width, dots=dots), "text" if row.title else "dim")]

    def level(row: SessionRow, width: int) -> Runs:
        filled, rest = gauge(glyphs, row.level / _LOUDEST, width)
        return [(filled, "ok" if row.state in {"LIVE", "DEGRADED"} else "dim"), (rest, "track")]

    def lag(row: SessionRow, width: int) -> Runs:
        if row.state in {"FAILED", "ENDED"}:  # nothing is waited for any more
            return [(glyphs.none, "track")]
        return [(milliseconds(row.lag_ms), lag_style(row.lag_ms))]

    def note(row: SessionRow, width: int) -> Runs:
        condition = session_condition(row)
        style = condition.style if condition.style in {"warn", "error"} else "dim"
        return [(fit(row.note, width, dots=dots), style)]

    return [
        Column("STATE", 10, state),
        Column("ID", 8, lambda row, width: [(fit(row.meeting_id[-SHORT_ID:], width), "dim")], drop=3),
        Column("MEETING", 18, title, grow=5),
        Column("VIA", 9, lambda row, width: [(fit(row.provider, width, dots=dots), "dim")], drop=2),
        Column(
            "TRK", 3, lambda row, width: [(str(row.tracks), "text")], right=True, drop=4, by=lambda row: -row.tracks
        ),
        Column("LEVEL", 7, level, drop=5, by=lambda row: -row.level),
        Column("LAG", 7, lag, right=True),
        Column("WORDS", 6, lambda row, width: [(count(row.words), "text")], right=True, drop=1),
        Column("AGE", 6, lambda row, width: [(duration(row.age_seconds), "dim")], right=True),
        Column("NOTE", 18, note, grow=4, drop=6),
    ]
