"""The whole of the row under the cursor, for what its columns cut off."""

from tui.rows import row_fields
from tui.view import View
from tui.widgets.canvas import LiveCanvas
from tui.widgets.runs import Runs, wrap
from tui.widgets.table import LiveTable

_ELSEWHERE = frozenset({"payload"})
"""What has a panel of its own."""


class RowText(LiveCanvas):
    """Every field that says something, wrapped; it follows the table that has the focus."""

    DEFAULT_CSS = """
    RowText { height: 3; background: $background; padding: 0 1; scrollbar-size: 0 0; overflow: hidden; }
    """

    def __init__(self, view: View) -> None:
        super().__init__(view, id="row")

    def paint(self, y: int, width: int) -> Runs:
        table = self.screen.focused
        row = table.cursor_row if isinstance(table, LiveTable) else None
        if row is None:
            return []
        fields = {name: value for name, value in row_fields(row).items() if name not in _ELSEWHERE}
        told = {name: value for name, value in fields.items() if value not in ("", 0, 0.0, False)}
        said = [
            f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in told.items()
        ]
        lines = wrap(f" {self.view.glyphs.middle} ".join(said), max(1, width))
        return [(lines[y], "dim")] if y < len(lines) else []
