"""The log lines on the screen: one line each, the newest at the end, and the eye stays where the operator went."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message

from tui.logs import LEVELS, LogLines, LogRow
from tui.view import View
from tui.widgets.canvas import LiveCanvas
from tui.widgets.runs import Runs, cut, fit

_STEP_CELLS = 16
_FURTHEST_CELLS = 4000
_ROOM_CELLS = 9
_WIDE_CELLS = 100  # on fewer the milliseconds are left out
_HEADER_LINES = 1
_MARKS = {
    "debug": ("idle", "dim", "DEBUG"),
    "info": ("ok", "info", "INFO"),
    "warning": ("warn", "warn", "WARN"),
    "error": ("error", "error", "ERROR"),
}


class LogView(LiveCanvas, can_focus=True):
    """Follows the end until the cursor leaves it, and again when it comes back or somebody asks for it."""

    class CursorMoved(Message):
        """Another line is under the cursor."""

    BINDING_GROUP_TITLE = "Log"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home,g", "edge(False)", "first line", show=False),
        Binding("end,G", "edge(True)", "last line, and follow", show=False),
        Binding("left,h", "aside(-1)", "left", show=False),
        Binding("right", "aside(1)", "right", show=False),
        Binding("0", "aside(0)", "beginning of the lines", show=False),
        Binding("f", "follow", "Follow", show=False, tooltip="follow the newest line, or stay"),
    ]
    DEFAULT_CSS = """
    LogView {
        border: round $border; border-title-color: $text-muted; border-title-style: bold;
        border-subtitle-color: $text-muted;
    }
    LogView:focus { border: round $accent; border-title-color: $accent; }
    LogView.ascii { border: ascii $border; scrollbar-size-vertical: 0; }
    LogView.ascii:focus { border: ascii $accent; }
    """

    def __init__(self, view: View, lines: LogLines) -> None:
        super().__init__(view, id="log", classes="ascii" if view.glyphs.is_ascii else None)
        self.following = True
        self.min_level = ""
        """Least level that is shown; empty: all."""
        self.rows: list[LogRow] = []
        """The lines that are shown."""
        self.cursor: LogRow | None = None
        self._lines = lines
        self._aside = 0
        self._frozen: Sequence[LogRow] | None = None
        self._built: tuple[object, ...] = ()
        self._labels = ("", "")

    def next_level(self) -> None:
        """Show less, and after errors everything again; a level that hides nothing is passed over."""
        at = LEVELS.index(self.min_level) if self.min_level else 0
        if at == 0 and all(row.rank for row in self._lines.rows):
            at = 1
        self.min_level = LEVELS[at + 1] if at + 1 < len(LEVELS) else ""
        self.pulse()

    def pulse(self) -> None:
        if not self.is_attached or not self.size.height:
            return
        self._build()
        labels = self._titles()
        if labels != self._labels:
            self._labels = labels
            self.border_title, self.border_subtitle = Content(labels[0]), Content(labels[1])
        super().pulse()
        if self.show_vertical_scrollbar:  # it was not there yet when the first lines were scrolled
            self.vertical_scrollbar.position = self.scroll_y

    def paint(self, y: int, width: int) -> Runs:
        if y < _HEADER_LINES:
            return [*_columns(("TIME", "head"), ("LEVEL", "head"), ("ROOM", "head"), width), ("MESSAGE", "head")]
        row = self._row_at(y)
        if row is None:
            return [(fit(self._empty(), width, dots=self.view.glyphs.dots), "dim")] if y == 1 and not self.rows else []
        glyph, style, word = _MARKS.get(row.level, ("idle", "dim", row.level.upper()))
        level = f"{getattr(self.view.glyphs, glyph)} {word}"
        head = _columns((row.clock, "dim"), (level, style), (row.room, "info"), width)
        body: Runs = [(row.message, style if row.rank > 1 else "bold"), (" ", "text"), (row.details, "dim")]
        return [*head, *_from(body, self._aside)]

    def whole_line(self, y: int) -> str | None:
        if self.cursor is None or self._row_at(y) is not self.cursor:
            return None
        return "cursor" if self.has_focus else "cursor-blurred"

    def watch_has_focus(self, value: bool) -> None:
        super().watch_has_focus(value)
        if self.is_mounted:
            self.pulse()

    def action_move(self, lines: int) -> None:
        self._go(self._cursor_index + lines)

    def action_page(self, pages: int) -> None:
        self._go(self._cursor_index + pages * max(1, self._height - 1))

    def action_edge(self, last: bool) -> None:
        self._go(len(self.rows) - 1 if last else 0)

    def action_aside(self, steps: int) -> None:
        """Look at what is off on the right; it stays so while lines come."""
        self._aside = min(max(0, self._aside + steps * _STEP_CELLS), _FURTHEST_CELLS) if steps else 0
        self.pulse()

    def action_follow(self) -> None:
        if self.following:
            self.following = False
            self.pulse()
        else:
            self._go(len(self.rows) - 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.action_move(-2)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.action_move(2)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        row = self._row_at(offset.y) if offset is not None else None
        if row is not None:
            self._go(self.rows.index(row))

    @property
    def _height(self) -> int:
        return max(1, self.scrollable_content_region.height - _HEADER_LINES)

    @property
    def _cursor_index(self) -> int:
        return self._index_of(self.cursor)

    def _index_of(self, row: LogRow | None) -> int:
        """Return where a line stands, or where it would."""
        if row is None:
            return max(0, len(self.rows) - 1)
        for at in range(len(self.rows) - 1, -1, -1):
            if self.rows[at] is row:
                return at
            if self.rows[at].time_ns < row.time_ns:
                return min(at + 1, len(self.rows) - 1)
        return 0

    def _row_at(self, y: int) -> LogRow | None:
        at = y - _HEADER_LINES + round(self.scroll_offset.y)
        return self.rows[at] if y >= _HEADER_LINES and at < len(self.rows) else None

    def _go(self, index: int) -> None:
        """Put the cursor on a line; at the last one lines are followed again."""
        if not self.rows:
            return
        index = min(max(index, 0), len(self.rows) - 1)
        self.following = index == len(self.rows) - 1
        self._point_at(self.rows[index])
        top = round(self.scroll_offset.y)
        self._scroll(min(max(top, index - self._height + 1), index))
        self.pulse()

    def _point_at(self, row: LogRow | None) -> None:
        if row is not self.cursor:
            self.cursor = row
            self.post_message(self.CursorMoved())

    def _scroll(self, top: int) -> None:
        # Forced: the scrollbar comes with the next layout, and lines that have just come are scrolled before it.
        top = min(max(top, 0), max(0, len(self.rows) - self._height))
        self.scroll_to(y=top, animate=False, force=True, immediate=True)

    def _build(self) -> None:
        """Choose the lines to show; the line under the cursor stays on its place of the screen."""
        if not self.view.paused:
            self._frozen = None
        elif self._frozen is None:
            self._frozen = list(self._lines.rows)
        version = -1 if self._frozen is not None else self._lines.version
        wish = (version, self.view.filter.text, self.min_level, self.size, id(self._frozen))
        if wish == self._built:
            return
        self._built = wish
        below = self._cursor_index - round(self.scroll_offset.y)
        self.rows = self._chosen()
        size = Size(self.scrollable_content_region.width, len(self.rows) + _HEADER_LINES)
        if size != self.virtual_size:
            self.virtual_size = size
        self._painted.clear()
        if self.following or not self.rows:
            self._point_at(self.rows[-1] if self.rows else None)
            self._scroll(len(self.rows))
        else:
            index = self._cursor_index
            self._point_at(self.rows[index])
            self._scroll(index - min(max(below, 0), self._height - 1))
        self.refresh()

    def _chosen(self) -> list[LogRow]:
        rows: Sequence[LogRow] = self._lines.rows if self._frozen is None else self._frozen
        wanted, least = self.view.filter, LEVELS.index(self.min_level) if self.min_level else 0
        if not wanted and not least:
            return list(rows)
        return [row for row in rows if row.rank >= least and wanted.matches_text(row.said)]

    def _empty(self) -> str:
        if self._lines.problem:
            return self._lines.problem
        if self._lines.rows:
            return "no line matches: l shows more levels, esc clears the filter"
        return "nothing was written yet" if self._lines.asked else "asking the rooms"

    def _titles(self) -> tuple[str, str]:
        lines, wanted = self._lines, self.view.filter
        level = f" {self.min_level} and above" if self.min_level not in ("", "error") else f" {self.min_level}".rstrip()
        counted = f"{len(self.rows)} of {len(lines.rows)}" if wanted or self.min_level else f"{len(self.rows)}"
        found = f" /{wanted.text}" if wanted else ""
        away = "".join(f"  {self.view.glyphs.warn} {room}: {why}" for room, why in sorted(lines.away.items()))
        title = f"logs {counted}{level}{found}{away}"
        follow = "FOLLOW on" if self.following else "FOLLOW off, end follows again"
        missed = f"{lines.missed} missed" if lines.missed else ""
        problem = lines.problem if self.rows else ""
        room = max(0, self.size.width - len(follow) - len(missed) - 12)
        said = fit(problem, min(len(problem), room), dots=self.view.glyphs.dots)
        title = fit(title, min(len(title), max(0, self.size.width - 6)), dots=self.view.glyphs.dots)
        return title.rstrip(), "   ".join(part for part in (said, missed, follow) if part)


def _columns(time: tuple[str, str], level: tuple[str, str], room: tuple[str, str], width: int) -> Runs:
    """Return what stands before the message."""
    shown = time[0] if width >= _WIDE_CELLS else time[0][:8]
    return [
        (fit(shown, 12 if width >= _WIDE_CELLS else 8) + " ", time[1]),
        (fit(level[0], 7) + " ", level[1]),
        (fit(room[0], _ROOM_CELLS) + " ", room[1]),
    ]


def _from(runs: Runs, cells: int) -> Runs:
    """Return runs without their first cells."""
    left: Runs = []
    for text, style in runs:
        if cells > 0:
            gone = cut(text, cells)
            cells -= max(len(gone), 0)
            text = text[len(gone) :]
        if text:
            left.append((text, style))
    return left
