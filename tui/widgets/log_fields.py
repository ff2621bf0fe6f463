"""The whole of the log line under the cursor: every field on lines of its own."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size

from tui.logs import LogRow
from tui.view import View
from tui.widgets.canvas import LiveCanvas
from tui.widgets.runs import Runs, fit, wrap

_NAME_CELLS = 18


class LogFields(LiveCanvas, can_focus=True):
    """Shown while it is open; it follows the cursor of the log."""

    BINDING_GROUP_TITLE = "Fields"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "go(-1)", "up", show=False),
        Binding("down,j", "go(1)", "down", show=False),
    ]
    DEFAULT_CSS = """
    LogFields {
        display: none; border: round $border; border-title-color: $text-muted; border-title-style: bold; padding: 0 1;
    }
    LogFields.open { display: block; }
    LogFields:focus { border: round $accent; border-title-color: $accent; }
    LogFields.ascii { border: ascii $border; scrollbar-size-vertical: 0; }
    LogFields.ascii:focus { border: ascii $accent; }
    """

    def __init__(self, view: View) -> None:
        super().__init__(view, id="fields", classes="ascii" if view.glyphs.is_ascii else None)
        self._row: LogRow | None = None
        self._painted_rows: list[Runs] = []
        self._built: tuple[object, ...] = ()

    @property
    def opened(self) -> bool:
        """Whether it is shown."""
        return self.has_class("open")

    def show(self, row: LogRow | None) -> None:
        """Be about a line."""
        if row is not self._row:
            self._row = row
            self.scroll_to(y=0, animate=False, immediate=True)
        self.pulse()

    def pulse(self) -> None:
        if not self.is_attached or not self.size.height:
            return
        width = self.scrollable_content_region.width
        if (self._row, width) != self._built and width > 0:
            self._built = (self._row, width)
            self._painted_rows = _lines(self._row, width) if self._row is not None else []
            self.virtual_size = Size(width, len(self._painted_rows))
            self.border_title = Content(self._row.message[:60] if self._row is not None else "no line is chosen")
        super().pulse()

    def paint(self, y: int, width: int) -> Runs:
        at = y + round(self.scroll_offset.y)
        return self._painted_rows[at] if at < len(self._painted_rows) else []

    def action_go(self, lines: int) -> None:
        self.scroll_to(y=round(self.scroll_offset.y) + lines, animate=False, immediate=True)
        self.pulse()


def _lines(row: LogRow, width: int) -> list[Runs]:
    told = [
        ("time", row.moment),
        ("level", row.level),
        ("room", f"{row.room}, process {row.pid}"),
        ("message", row.message),
        ("trace", row.trace_id),
        *row.fields,
    ]
    names = min(_NAME_CELLS, max(6, width // 4))
    lines: list[Runs] = []
    for name, value in told:
        if value:
            first, *more = wrap(value, max(8, width - names - 1)) or [""]
            lines.append([(fit(name, names) + " ", "dim"), (first, "text")])
            lines += [[(" " * (names + 1), "dim"), (piece, "text")] for piece in more]
    return lines
