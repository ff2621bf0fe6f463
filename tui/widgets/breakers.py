"""The table of circuit breakers."""

from collections.abc import Callable, Mapping
from shlex import quote
from typing import Any, ClassVar

from tui.condition import breaker_condition
from tui.glyphs import Glyphs
from tui.quantities import duration
from tui.rows import BreakerRow
from tui.view import View
from tui.widgets.columns import Column
from tui.widgets.runs import Runs, fit
from tui.widgets.table import LiveTable


class BreakersTable(LiveTable[BreakerRow]):
    """Open ones first."""

    ORDERS: ClassVar[Mapping[str, Callable[[BreakerRow], tuple[Any, ...]]]] = {
        "attention": lambda row: (breaker_condition(row).rank,),
        "fails": lambda row: (-row.failures,),
        "breaker": lambda row: (row.name,),
        "since": lambda row: (row.since_seconds,),
    }

    def __init__(self, view: View) -> None:
        super().__init__(view, _columns(view.glyphs), id="breakers")

    def rows(self) -> Mapping[str, BreakerRow]:
        return self.view.tables.breakers

    def labels(self) -> tuple[str, str]:
        return self.titled("breakers"), self.sorted_by()

    def command(self) -> str | None:
        return f"breaker reset {quote(self.cursor_key)}" if self.cursor_key else None


def _columns(glyphs: Glyphs) -> list[Column[BreakerRow]]:
    dots = glyphs.dots

    def state(row: BreakerRow, width: int) -> Runs:
        condition = breaker_condition(row)
        word = "text" if condition.word == "CLOSED" else condition.style
        return [(f"{condition.mark(glyphs)} ", condition.style), (fit(condition.word, width - 2, dots=dots), word)]

    def failures(row: BreakerRow, width: int) -> Runs:
        return [(f"{row.failures}/{row.threshold}", "dim" if row.state == "closed" else breaker_condition(row).style)]

    return [
        Column("STATE", 11, state),
        Column(
            "BREAKER",
            8,
            lambda row, width: [(fit(row.name.removeprefix("connector."), width, dots=dots), "text")],
            grow=1,
        ),
        Column("FAILS", 5, failures, right=True, drop=2),
        Column("SINCE", 6, lambda row, width: [(duration(row.since_seconds), "dim")], right=True, drop=1),
    ]
