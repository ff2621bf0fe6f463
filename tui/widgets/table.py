"""LiveTable: a table over the newest rows, whose cursor stays with its row wherever that moves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message

from tui.rows import Row
from tui.view import View
from tui.widgets.canvas import LiveCanvas
from tui.widgets.columns import Column, fit_columns, header_line, row_line, wide_cells
from tui.widgets.runs import Runs, fit

R = TypeVar("R", bound=Row)

_HEADER_LINES = 1
_AS_TOLD = "as told"
_SHIFT_CELLS = 10


class LiveTable(LiveCanvas, Generic[R], can_focus=True):
    """Subclasses say which rows there are, in which order, and what the columns show."""

    class CursorMoved(Message):
        """Another row is under the cursor."""

        def __init__(self, table: "LiveTable[Any]") -> None:
            super().__init__()
            self.table = table

    ORDERS: ClassVar[Mapping[str, Callable[[Any], tuple[Any, ...]]]] = {}
    """What the rows can be sorted by beside their columns; the first is where one begins. None: as they come."""

    BINDING_GROUP_TITLE = "Tables"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home,g", "edge(False)", "first row", show=False),
        Binding("end,G", "edge(True)", "last row", show=False),
        Binding("v", "mark", "Mark", tooltip="mark for a bulk order"),
        Binding("V", "mark_all", "Mark all", show=False, tooltip="mark all, or none"),
        Binding("w", "wide", "Wide", show=False, tooltip="wide columns, all of them"),
        Binding("left", "shift(-1)", "left", show=False, tooltip="to the left, if wide"),
        Binding("right", "shift(1)", "right", show=False, tooltip="to the right, if wide"),
    ]
    DEFAULT_CSS = """
    LiveTable { border: round $border; border-title-color: $text-muted; border-title-style: bold; border-subtitle-color: $text-muted; }
    LiveTable:focus { border: round $accent; border-title-color: $accent; }
    LiveTable.ascii { border: ascii $border; scrollbar-size-vertical: 0; }
    LiveTable.ascii:focus { border: ascii $accent; }
    """  # noqa: E501

    def __init__(self, view: View, columns: Sequence[Column[R]], *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id, classes="ascii" if view.glyphs.is_ascii else None)
        self.cursor_key: str | None = None
        self.filtered = False
        """Whether only rows are shown that the screen's filter lets through."""
        self.orders: Mapping[str, Callable[[R], tuple[Any, ...]]] = {
            **(self.ORDERS or {_AS_TOLD: lambda row: ()}),
            **{column.name: column.rank for column in columns if column.name not in self.ORDERS},
        }
        """What the rows can be sorted by, by name."""
        self.order_name = next(iter(self.orders))
        self.backwards = False
        """Whether the order is turned round."""
        self.marks: set[str] = set()
        """Keys of the rows that the next order is about; empty: the one under the cursor."""
        self.markable = False
        """Whether there are orders about several rows."""
        self.wide = False
        """Whether all columns are shown, beyond what fits on the screen."""
        self.keys: list[str] = []
        """Keys of the rows that are shown, in their order."""
        self._columns = columns
        self._fitted: tuple[int, list[tuple[Column[R], int]]] = (-1, [])
        self._labels = ("", "")
        self._held = True
        """Whether the cursor was in sight and is to stay there; scrolling with the mouse lets it go."""

    def rows(self) -> Mapping[str, R]:
        """All rows by key."""
        raise NotImplementedError

    def shown(self) -> dict[str, R]:
        """Return the rows to show by key."""
        rows = self.rows()
        if not self.filtered or not self.view.filter:
            return dict(rows)
        return {key: row for key, row in rows.items() if self.view.filter.matches(row)}

    def order(self) -> list[str]:
        """Return the keys to show, in their order."""
        return self.sorted(self.shown())

    def sorted(self, rows: Mapping[str, R]) -> list[str]:
        """Return the keys of rows by the order that is chosen."""
        by = self.orders[self.order_name]
        if self.order_name == _AS_TOLD:
            return list(rows)[::-1] if self.backwards else list(rows)
        return sorted(rows, key=lambda key: (*by(rows[key]), key), reverse=self.backwards)

    def next_order(self) -> None:
        """Sort by the next of `orders`."""
        names = list(self.orders)
        self.sort_by(names[(names.index(self.order_name) + 1) % len(names)])

    def sort_by(self, name: str, *, backwards: bool = False) -> None:
        """Sort by one of `orders`."""
        self.order_name, self.backwards = name, backwards
        self.pulse()

    def turn_order(self) -> None:
        """Turn the order round."""
        self.sort_by(self.order_name, backwards=not self.backwards)

    def sorted_by(self) -> str:
        """Say what the rows are sorted by."""
        return f"sort {self.order_name}{' backwards' if self.backwards else ''}"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide the keys that do nothing here."""
        if action in {"mark", "mark_all"}:
            return self.markable
        return self.wide if action == "shift" else True

    def can_be_marked(self, row: R) -> bool:
        """Return whether there are orders about several such rows."""
        return False

    @property
    def marked_rows(self) -> list[R]:
        """The rows that are marked, in the order of the table; those that a filter hides come last."""
        rows = self.rows()
        hidden = sorted(self.marks.difference(self.keys))
        return [rows[key] for key in [*self.keys, *hidden] if key in self.marks and key in rows]

    def command(self) -> str | None:
        """Return the arguments of agent-console that say the same as the row under the cursor; None if none do."""
        return None

    def titled(self, name: str) -> str:
        """Return a title with the number of rows, and the filter if there is one."""
        wanted = self.view.filter
        if self.filtered and wanted:
            return f"{name} {len(self.keys)} of {len(self.rows())} /{wanted.text}"
        return f"{name} {len(self.keys)}"

    def empty(self) -> str:
        """What stands there when no row is shown."""
        match self.view.link_state:
            case "refused":
                return "no data"
            case "live" | "stale":
                return "none"
        return "no data yet"

    def labels(self) -> tuple[str, str]:
        """Return the texts on the upper and on the lower border."""
        raise NotImplementedError

    @property
    def cursor_row(self) -> R | None:
        """The row under the cursor."""
        return self.rows().get(self.cursor_key) if self.cursor_key is not None else None

    def pulse(self) -> None:
        self._show_keys(self.order())
        title, below = self.labels()
        if self.marks:
            title = f"{title} {self.view.glyphs.middle} {self.view.glyphs.marked} {len(self.marks)} marked"
        if self.wide:
            below = f"{self.sorted_by()}   wide, {self.shift} of {self._most_shift()} cells off"
        if (title, below) != self._labels:
            self._labels = (title, below)
            # As content, not as text: Textual would read markup in a text.
            self.border_title, self.border_subtitle = Content(title), Content(below)
        super().pulse()

    def paint(self, y: int, width: int) -> Runs:
        width = max(width, wide_cells(self._columns)) if self.wide else width
        if self._fitted[0] != width:
            self._fitted = (width, fit_columns(self._columns, width))
        if y < _HEADER_LINES:
            return header_line(self._fitted[1])
        key = self._key_at(y)
        if key is not None:
            row = self.rows().get(key)
            line = row_line(self._fitted[1], row) if row is not None else []
            return [(self.view.glyphs.marked, "accent"), *line[1:]] if key in self.marks else line
        return (
            [(" " + fit(self.empty(), width - 1, dots=self.view.glyphs.dots), "dim")]
            if not self.keys and y == _HEADER_LINES
            else []
        )

    def whole_line(self, y: int) -> str | None:
        if self.cursor_key is None or self._key_at(y) != self.cursor_key:
            return None
        return "cursor" if self.has_focus else "cursor-blurred"

    def action_move(self, rows: int) -> None:
        self._go(self._cursor_index + rows)

    def action_page(self, pages: int) -> None:
        self._go(self._cursor_index + pages * max(1, self.scrollable_content_region.height - _HEADER_LINES))

    def action_edge(self, last: bool) -> None:
        self._go(len(self.keys) - 1 if last else 0)

    def action_mark(self) -> None:
        """Mark the row under the cursor, or no longer, and go on to the next."""
        row = self.cursor_row
        if row is not None and self.can_be_marked(row):
            self.marks ^= {row.key}
            self._go(self._cursor_index + 1)

    def action_mark_all(self) -> None:
        """Mark all rows that are shown; if they are, none."""
        rows = self.rows()
        every = {key for key in self.keys if self.can_be_marked(rows[key])}
        self.marks = set() if every <= self.marks else self.marks | every
        self.pulse()

    def action_wide(self) -> None:
        """Show every column, or those that fit."""
        self.wide, self.shift = not self.wide, 0
        self.pulse()

    def action_shift(self, steps: int) -> None:
        """Move wide columns; they stay there whatever the rows do."""
        if self.wide:
            self.shift = min(max(0, self.shift + steps * _SHIFT_CELLS), self._most_shift())
            self.pulse()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._held = self._in_sight(self._cursor_index)

    def watch_has_focus(self, value: bool) -> None:
        super().watch_has_focus(value)
        if self.is_mounted:
            self.pulse()

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is not None and 0 <= offset.y < _HEADER_LINES:
            self._sort_at(offset.x + self.shift)
            return
        key = self._key_at(offset.y) if offset is not None else None
        if key is not None:
            self._point_at(key)
            self.pulse()

    def _show_keys(self, keys: list[str]) -> None:
        index = self._cursor_index
        self.keys = keys
        if self.cursor_key not in self.rows() or self.cursor_key not in keys:
            self._point_at(keys[min(max(index, 0), len(keys) - 1)] if keys else None)
        rows = self.rows()
        self.marks = {key for key in self.marks if key in rows and self.can_be_marked(rows[key])}
        size = Size(self.scrollable_content_region.width, len(keys) + _HEADER_LINES)
        if size != self.virtual_size:
            self.virtual_size = size
        if self._held:  # an order must never be about a row that moved out of sight
            self._look_at(self._cursor_index)

    def _point_at(self, key: str | None) -> None:
        if key != self.cursor_key:
            self.cursor_key = key
            self.post_message(self.CursorMoved(self))

    @property
    def _cursor_index(self) -> int:
        try:
            return self.keys.index(self.cursor_key) if self.cursor_key is not None else 0
        except ValueError:
            return 0

    def _key_at(self, y: int) -> str | None:
        index = y - _HEADER_LINES + round(self.scroll_offset.y)
        return self.keys[index] if y >= _HEADER_LINES and index < len(self.keys) else None

    def _go(self, index: int) -> None:
        if not self.keys:
            return
        index = min(max(index, 0), len(self.keys) - 1)
        self._point_at(self.keys[index])
        self._look_at(index)
        self.pulse()

    def _look_at(self, index: int) -> None:
        top, height = round(self.scroll_offset.y), self.scrollable_content_region.height - _HEADER_LINES
        if height <= 0:
            return
        if index < top:
            self.scroll_to(y=index, animate=False, immediate=True)
        elif index >= top + height:
            self.scroll_to(y=index - height + 1, animate=False, immediate=True)
        self._held = True

    def _in_sight(self, index: int) -> bool:
        top = round(self.scroll_offset.y)
        return top <= index < top + self.scrollable_content_region.height - _HEADER_LINES

    def _most_shift(self) -> int:
        return max(0, wide_cells(self._columns) - self.scrollable_content_region.width)

    def _sort_at(self, cell: int) -> None:
        """Sort by the column whose heading is at a cell; once more turns the order round."""
        for column, width in self._fitted[1]:
            if cell <= width:
                if column.name in self.orders:
                    self.sort_by(column.name, backwards=column.name == self.order_name and not self.backwards)
                return
            cell -= width + 1
