"""LiveCanvas: lines that a widget draws itself; a change costs the terminal only the cells that differ.

Textual's own tables repaint their whole visible area when one cell changes, which is felt over SSH.
"""

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.view import View
from tui.widgets.runs import Runs

_GAP_CELLS = 5  # moving the cursor costs about as much as sending this many cells

STYLES = (
    "text",
    "dim",
    "head",
    "bold",
    "ok",
    "warn",
    "error",
    "info",
    "accent",
    "track",
    "here",
    "cursor",
    "cursor-blurred",
)


class LiveCanvas(ScrollView):
    """Draws `paint(y, width)` for each visible line. `pulse` sends what changed since the last time."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES = {f"canvas--{style}" for style in STYLES}  # noqa: RUF012 - Textual declares it
    DEFAULT_CSS = """
    LiveCanvas {
        height: 1fr; background: $surface; color: $foreground;
        overflow-x: hidden; scrollbar-size-vertical: 1;
        scrollbar-background: $surface; scrollbar-background-hover: $surface; scrollbar-background-active: $surface;
        scrollbar-color: $border; scrollbar-color-hover: $accent; scrollbar-color-active: $accent;
        & > .canvas--dim { color: $text-muted; }
        & > .canvas--head { color: $text-muted; text-style: bold; }
        & > .canvas--bold { text-style: bold; }
        & > .canvas--ok { color: $text-success; }
        & > .canvas--warn { color: $text-warning; text-style: bold; }
        & > .canvas--error { color: $text-error; text-style: bold; }
        & > .canvas--info { color: $text-secondary; }
        & > .canvas--accent { color: $text-accent; text-style: bold; }
        & > .canvas--track { color: $foreground 22%; }
        & > .canvas--here { background: $primary 60%; color: $foreground; text-style: bold; }
        & > .canvas--cursor { background: $primary 45%; color: $foreground; text-style: bold; }
        & > .canvas--cursor-blurred { background: $foreground 10%; }
        &:ansi {
            & > .canvas--dim, & > .canvas--head { color: $foreground; }
            & > .canvas--ok { color: ansi_green; }
            & > .canvas--warn { color: ansi_yellow; }
            & > .canvas--error { color: ansi_bright_red; }
            & > .canvas--info, & > .canvas--accent { color: ansi_cyan; }
            & > .canvas--track { color: ansi_bright_black; }
            & > .canvas--here { background: ansi_blue; color: ansi_bright_white; }
            & > .canvas--cursor { background: ansi_blue; color: ansi_bright_white; }
            & > .canvas--cursor-blurred { background: ansi_default; }
        }
    }
    """

    def __init__(self, view: View, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.view = view
        self._painted: dict[int, Strip] = {}
        self._styles: dict[str, Style] = {}

    def paint(self, y: int, width: int) -> Runs:
        """Return line `y` of what is visible. Wider runs are cut, narrower ones filled up."""
        raise NotImplementedError

    def whole_line(self, y: int) -> str | None:
        """Return the style that lies under a whole line, if any."""
        return None

    def pulse(self) -> None:
        """Redraw the cells that differ from what the terminal shows."""
        if not self.is_attached or not self.size.height:
            return
        dirty: list[Region] = []
        for y in range(self.scrollable_content_region.height):
            new, old = self._strip(y), self._painted.get(y)
            if old is None:
                dirty.append(Region(0, y, self.size.width, 1))
            elif new != old:
                dirty += [Region(start, y, end - start, 1) for start, end in changed_spans(old, new)]
                self._painted[y] = new
        if dirty:
            self.refresh(*dirty)

    def render_line(self, y: int) -> Strip:
        strip = self._painted[y] = self._strip(y)
        return strip

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()
        self._painted.clear()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._painted.clear()

    def _style(self, name: str) -> Style:
        style = self._styles.get(name)
        if style is None:
            style = self._styles[name] = self.get_component_rich_style(f"canvas--{name}", partial=False)
        return style

    def _strip(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        under = self.whole_line(y)
        segments = [Segment(text, self._on(self._style(name), under)) for text, name in self.paint(y, width) if text]
        return Strip(segments).adjust_cell_length(width, self._on(self._style("text"), under))

    def _on(self, style: Style, under: str | None) -> Style:
        if under is None:
            return style
        line = self._style(under)
        if under == "cursor" and self.app.current_theme.ansi:
            return line  # the terminal's red on its blue cannot be read: one pair of colours for the whole line
        return style + Style(bgcolor=line.bgcolor, bold=line.bold or None)


def changed_spans(old: Strip, new: Strip) -> list[tuple[int, int]]:
    """Return the half-open spans of cells in which two lines differ; spans that are close are one."""
    before, after = _cells(old), _cells(new)
    spans: list[tuple[int, int]] = []
    for cell in range(max(len(before), len(after))):
        if cell < len(before) and cell < len(after) and before[cell] == after[cell]:
            continue
        if spans and cell - spans[-1][1] <= _GAP_CELLS:
            spans[-1] = (spans[-1][0], cell + 1)
        else:
            spans.append((cell, cell + 1))
    return spans


def _cells(strip: Strip) -> list[tuple[str, Style | None]]:
    cells: list[tuple[str, Style | None]] = []
    for segment in strip:
        for character in segment.text:
            width = cell_len(character)
            if width == 0 and cells:  # a combining mark belongs to the cell before it
                cells[-1] = (cells[-1][0] + character, cells[-1][1])
                continue
            cells.append((character, segment.style))
            cells += [("", segment.style)] * (width - 1)
    return cells
