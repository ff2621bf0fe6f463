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
from tui.widgets.columns import Column, fit_columns, header_line, row_line
from tui.widgets.runs import Runs, fit

R = TypeVar("R", bound=Row)

_HEADER_LINES = 1


class LiveTable(LiveCanvas, Generic[R], can_focus=True):
    """Subclasses say which rows there are, in which order, and what the columns show."""

    class CursorMoved(Message):
        """Another row is under the cursor."""

        def __init__(self, table: "LiveTable[Any]") -> None:
            super().__init__()
            self.table = table

    ORDERS: ClassVar[Mapping[str, Callable[[Any], tuple[Any, ...]]]] = {}
    """What the rows can be sorted by; the first is where one begins. None: as they come."""

    BINDING_GROUP_TITLE = "Tables"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home,g", "edge(False)", "first row", show=False),
        Binding("end,G", "edge(True)", "last row", show=False),
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
        self.order_name = next(iter(self.ORDERS), "")
        self.keys: list[str] = []
        """Keys of the rows that are shown, in their order."""
        self._columns = columns
        self._fitted: tuple[int, list[tuple[Column[R], int]]] = (-1, [])
        self._labels = ("", "")

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
        rows = self.shown()
        by = self.ORDERS.get(self.order_name)
        return list(rows) if by is None else sorted(rows, key=lambda key: (*by(rows[key]), key))

    def next_order(self) -> None:
        """Sort by the next of `ORDERS`."""
        names = list(self.ORDERS)
        if names:
            self.order_name = names[(names.index(self.order_name) + 1) % len(names)]
            self.pulse()

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
        labels = self.labels()
        if labels != self._labels:
            self._labels = labels
            # As content, not as text: Textual would read markup in a text.
            self.border_title, self.border_subtitle = Content(labels[0]), Content(labels[1])
        super().pulse()

    def paint(self, y: int, width: int) -> Runs:
        if self._fitted[0] != width:
            self._fitted = (width, fit_columns(self._columns, width))
        if y < _HEADER_LINES:
            return header_line(self._fitted[1])
        key = self._key_at(y)
        if key is not None:
            row = self.rows().get(key)
            return row_line(self._fitted[1], row) if row is not None else []
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

    def watch_has_focus(self, value: bool) -> None:
        super().watch_has_focus(value)
        if self.is_mounted:
            self.pulse()

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        key = self._key_at(offset.y) if offset is not None else None
        if key is not None:
            self._point_at(key)
            self.pulse()

    def _show_keys(self, keys: list[str]) -> None:
        index = self._cursor_index
        self.keys = keys
        if self.cursor_key not in self.rows() or self.cursor_key not in keys:
            self._point_at(keys[min(max(index, 0), len(keys) - 1)] if keys else None)
        size = Size(self.scrollable_content_region.width, len(keys) + _HEADER_LINES)
        if size != self.virtual_size:
            self.virtual_size = size

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
        top, height = round(self.scroll_offset.y), self.scrollable_content_region.height - _HEADER_LINES
        if index < top:
            self.scroll_to(y=index, animate=False, immediate=True)
        elif index >= top + height:
            self.scroll_to(y=index - height + 1, animate=False, immediate=True)
        self.pulse()
