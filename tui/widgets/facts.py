"""A few lines of facts that change: what a detail shows above its tables."""

from collections.abc import Callable, Sequence

from textual.content import Content

from tui.view import View
from tui.widgets.canvas import LiveCanvas
from tui.widgets.runs import Runs


class Facts(LiveCanvas):
    """Draws the lines that it is given, in a frame."""

    DEFAULT_CSS = """
    Facts {
        border: round $border; border-title-color: $text-muted; border-title-style: bold; padding: 0 1;
        scrollbar-size: 0 0; overflow: hidden;
    }
    Facts.ascii { border: ascii $border; }
    """

    def __init__(self, view: View, lines: Callable[[int], Sequence[Runs]], *, title: str, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id, classes="ascii" if view.glyphs.is_ascii else None)
        self._lines = lines
        self.border_title = Content(title)

    def paint(self, y: int, width: int) -> Runs:
        lines = self._lines(width)
        return lines[y] if y < len(lines) else []
