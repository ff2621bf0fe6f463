"""A table over a sheet: rows that the gateway was asked for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from tui.rows import Row
from tui.sheet import Sheet
from tui.view import View
from tui.widgets.columns import Column
from tui.widgets.runs import Runs, fit
from tui.widgets.table import LiveTable

R = TypeVar("R", bound=Row)


class SheetTable(LiveTable[R]):
    """Shows what was answered last, and why there is no newer answer.

    Args:
        view: shared by all widgets.
        sheet: the rows.
        columns: what is shown of each.
        id: of the widget.
        title: for the upper border.
        none: what stands there when the answer is empty.
        orders: what the rows can be sorted by; as they come if None.
        command: arguments of agent-console for a row.
        markable: which rows can be marked; none if None.
    """

    def __init__(
        self,
        view: View,
        sheet: Sheet[R],
        columns: Sequence[Column[R]],
        *,
        id: str,  # noqa: A002
        title: str,
        none: str,
        orders: Mapping[str, Callable[[R], tuple[Any, ...]]] | None = None,
        command: Callable[[R], str] | None = None,
        markable: Callable[[R], bool] | None = None,
    ) -> None:
        if orders is not None:
            self.ORDERS = orders  # type: ignore[misc]  # of this table
        super().__init__(view, columns, id=id)
        self.sheet = sheet
        self.filtered = True
        self._title = title
        self._none = none
        self._command = command
        self._markable = markable
        self.markable = markable is not None

    def rows(self) -> Mapping[str, R]:
        return self.sheet.rows

    def empty(self) -> str:
        if self.sheet.problem:
            return self.sheet.problem
        if self.sheet.rows:
            return "nothing matches the filter, esc clears it"
        return self._none if self.sheet.asked else "asking"

    def labels(self) -> tuple[str, str]:
        title = self.titled(self._title)
        if self.sheet.about:
            title = f"{title} {self.view.glyphs.middle} {self.sheet.about}"
        said = self.sheet.problem if self.keys else ""
        room = max(0, self.size.width - 6)
        about = fit(said, min(len(said), room), dots=self.view.glyphs.dots) if said else ""
        return title, about or (self.sorted_by() if self.keys else "")

    def can_be_marked(self, row: R) -> bool:
        return self._markable is not None and self._markable(row)

    def command(self) -> str | None:
        row = self.cursor_row
        return self._command(row) if row is not None and self._command is not None else None


def text_column(
    view: View,
    title: str,
    width: int,
    text: Callable[[R], str],
    *,
    style: str | Callable[[R], str] = "text",
    right: bool = False,
    grow: int = 0,
    drop: int = 0,
    by: Callable[[R], Any] | None = None,
) -> Column[R]:
    """Return a column that shows a text."""

    def draw(row: R, cells: int) -> Runs:
        shown = text(row)
        if not shown:
            return [(view.glyphs.none, "track")]
        return [
            (
                fit(shown, cells, right=right, dots=view.glyphs.dots),
                style if isinstance(style, str) else style(row),
            )
        ]

    return Column(title, width, draw, right=right, grow=grow, drop=drop, by=by or (lambda row: text(row).casefold()))


def clock(text: str) -> str:
    """Shorten a moment to the time of day; its date is worth a column of its own only where days matter."""
    return text[11:19] if len(text) >= 19 else text
