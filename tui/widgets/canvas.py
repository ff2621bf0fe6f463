"""LiveCanvas: lines that a widget draws itself; a change costs the terminal only the cells that differ.

Textual's own tables repaint their whole visible area when one cell changes, which is felt over SSH.
"""

from typing import TypeAlias

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


_Cell: TypeAlias = tuple[str, Style | None]
"""A character with its marks, empty where the one before is wide, and its style."""


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
        self.shift = 0
        """Cells that are off on the left."""
        self._painted: dict[int, Strip] = {}
        self._ahead: dict[int, Strip] = {}  # painted to compare, and not yet asked for
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
                self._painted[y] = self._ahead[y] = new
        if dirty:
            self.refresh(*dirty)

    def render_line(self, y: int) -> Strip:
        strip = self._ahead.pop(y, None)
        if strip is None or strip.cell_length != self.scrollable_content_region.width:
            strip = self._painted[y] = self._strip(y)
        return strip

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()
        self._painted.clear()
        self._ahead.clear()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._painted.clear()
        self._ahead.clear()

    def _style(self, name: str) -> Style:
        style = self._styles.get(name)
        if style is None:
            style = self._styles[name] = self.get_component_rich_style(f"canvas--{name}", partial=False)
        return style

    def _strip(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        under = self.whole_line(y)
        segments = [Segment(text, self._on(self._style(name), under)) for text, name in self.paint(y, width) if text]
        strip = Strip(segments)
        if self.shift:
            strip = strip.crop(self.shift)
        if strip.cell_length == width:
            return strip
        return strip.adjust_cell_length(width, self._on(self._style("text"), under))

    def _on(self, style: Style, under: str | None) -> Style:
        if under is None:
            return style
        line = self._style(under)
        if under == "cursor" and self.app.current_theme.ansi:
            return line  # the terminal's red on its blue cannot be read: one pair of colours for the whole line
        return style + Style(bgcolor=line.bgcolor, bold=line.bold or None)


def changed_spans(old: Strip, new: Strip) -> list[tuple[int, int]]:
    """Return the half-open spans of cells in which two lines differ; spans that are close are one."""
    skipped, before, after = _apart(list(old), list(new))
    spans: list[tuple[int, int]] = []
    for cell in range(max(len(before), len(after))):
        if cell < len(before) and cell < len(after) and before[cell] == after[cell]:
            continue
        end = cell + 1
        while end < len(after) and not after[end][0]:  # half a wide character cannot be drawn
            end += 1
        if spans and cell - spans[-1][1] <= _GAP_CELLS:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((cell, end))
    return [(skipped + start, skipped + end) for start, end in spans]


def _apart(old: list[Segment], new: list[Segment]) -> tuple[int, list[_Cell], list[_Cell]]:
    """Return the cells that two lines have apart from the beginning they share, and how many cells that has."""
    same = 0
    for before, after in zip(old, new, strict=False):
        if before != after:
            break
        same += 1
    return sum(cell_len(segment.text) for segment in new[:same]), _cells(old[same:]), _cells(new[same:])


def _cells(segments: list[Segment]) -> list[_Cell]:
    cells: list[_Cell] = []
    for text, style, _ in segments:
        if text.isascii():
            cells += [(character, style) for character in text]
            continue
        for character in text:
            width = cell_len(character)
            if width == 0:  # a combining mark belongs to the cell before it
                cells[-1:] = [(base + character, drawn) for base, drawn in cells[-1:]]
                continue
            cells.append((character, style))
            cells += [("", style)] * (width - 1)
    return cells
