"""The live transcript: new lines at the end, and the eye stays where the operator scrolled to."""

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size

from tui.transcript import Line, Transcript
from tui.view import View
from tui.widgets.canvas import LiveCanvas
from tui.widgets.runs import Runs, fit, wrap

_SPEAKER_CELLS = 14


class TranscriptLog(LiveCanvas, can_focus=True):
    """Wraps what was said. It follows the end until somebody scrolls, and again when they come back to it."""

    BINDING_GROUP_TITLE = "Transcript"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "go(-1)", "up", show=False),
        Binding("down,j", "go(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home,g", "edge(False)", "first line", show=False),
        Binding("end,G", "edge(True)", "last line, and follow", show=False),
        Binding("f", "follow", "Follow", tooltip="follow what is said"),
    ]
    DEFAULT_CSS = """
    TranscriptLog {
        border: round $border; border-title-color: $text-muted; border-title-style: bold;
        border-subtitle-color: $text-muted; padding: 0 1;
    }
    TranscriptLog:focus { border: round $accent; border-title-color: $accent; }
    TranscriptLog.ascii { border: ascii $border; scrollbar-size-vertical: 0; }
    TranscriptLog.ascii:focus { border: ascii $accent; }
    """

    def __init__(self, view: View, transcript: Transcript) -> None:
        super().__init__(view, id="transcript", classes="ascii" if view.glyphs.is_ascii else None)
        self.following = True
        self._transcript = transcript
        self._rows: list[Runs] = []
        self._finals: list[Runs] = []
        self._wrapped_lines = 0
        """Final lines, those that fell off among them, whose rows are in `_finals`."""
        self._kept: tuple[object, ...] = ()
        self._built: tuple[object, ...] = ()
        self._labels = ("", "")

    def pulse(self) -> None:
        if not self.is_attached or not self.size.height:
            return
        self._build(self.scrollable_content_region.width)
        labels = self._titles()
        if labels != self._labels:
            self._labels = labels
            self.border_title, self.border_subtitle = Content(labels[0]), Content(labels[1])
        super().pulse()

    def paint(self, y: int, width: int) -> Runs:
        at = y + round(self.scroll_offset.y)
        if at < len(self._rows):
            return self._rows[at]
        if not self._rows and y == 0:
            text = self._transcript.problem or "nothing was said yet"
            return [(fit(text, width, dots=self.view.glyphs.dots), "dim")]
        return []

    def action_go(self, lines: int) -> None:
        self._to(round(self.scroll_offset.y) + lines)

    def action_page(self, pages: int) -> None:
        self._to(round(self.scroll_offset.y) + pages * max(1, self.scrollable_content_region.height - 1))

    def action_edge(self, last: bool) -> None:
        self._to(len(self._rows) if last else 0)

    def action_follow(self) -> None:
        self.following = not self.following
        if self.following:
            self._to(len(self._rows))
        self.pulse()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.action_go(-2)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.action_go(2)

    def _to(self, top: int) -> None:
        most = max(0, len(self._rows) - self.scrollable_content_region.height)
        self.following = top >= most
        self.scroll_to(y=min(max(top, 0), most), animate=False, immediate=True)
        self.pulse()

    def _titles(self) -> tuple[str, str]:
        transcript, wanted = self._transcript, self.view.filter
        follow = "FOLLOW on" if self.following else "FOLLOW off, end follows again"
        found = f" /{wanted.text}" if wanted else ""
        title = f"live transcript {len(transcript.lines) + transcript.dropped} lines{found}"
        problem = transcript.problem if self._rows else ""
        room = max(0, self.size.width - len(follow) - 10)
        said = fit(problem, min(len(problem), room), dots=self.view.glyphs.dots)
        return title, "   ".join(part for part in (said, follow) if part)

    def _build(self, width: int) -> None:
        wish = (self._transcript.version, width, self.view.filter.text)
        if width <= 0:
            return
        if wish == self._built:
            self._stay_at_the_end()  # what came in one piece could not be scrolled before it was laid out
            return
        self._built = wish
        transcript = self._transcript
        kept = (width, self.view.filter.text, transcript.dropped, transcript.start)
        if kept != self._kept:  # otherwise only what is new has to be wrapped
            self._kept, self._finals, self._wrapped_lines = kept, [], transcript.dropped
        for line in transcript.lines[self._wrapped_lines - transcript.dropped :]:
            self._finals += self._matching(line, width)
        self._wrapped_lines = transcript.dropped + len(transcript.lines)
        rows = [*self._finals]
        for line in transcript.interims.values():
            rows += self._matching(line, width)
        self._rows = rows
        self._painted.clear()
        self.virtual_size = Size(width, len(rows))
        self._stay_at_the_end()
        self.refresh()

    def _stay_at_the_end(self) -> None:
        most = max(0, len(self._rows) - self.scrollable_content_region.height)
        if self.following and round(self.scroll_offset.y) != most:
            self.scroll_to(y=most, animate=False, immediate=True)

    def _matching(self, line: Line, width: int) -> list[Runs]:
        wanted = self.view.filter
        return self._wrapped(line, width) if wanted.matches_text(f"{line.speaker} {line.text}") else []

    def _wrapped(self, line: Line, width: int) -> list[Runs]:
        speaker = min(_SPEAKER_CELLS, max(4, width // 5))
        indent = 9 + speaker + 1
        pieces = wrap(line.text, max(8, width - indent)) or [""]
        style = "dim" if line.interim else "text"
        head: Runs = [
            (f"{self._transcript.at(line)} ", "dim"),
            (fit(line.speaker, speaker, dots=self.view.glyphs.dots) + " ", "info" if line.interim else "bold"),
            (pieces[0], style),
        ]
        return [head, *([(" " * indent, "text"), (piece, style)] for piece in pieces[1:])]
