"""The banner: there only while what is shown may not be true, and it says why and what happens next."""

from textual.widget import Widget

from tui.view import View
from tui.widgets.canvas import LiveCanvas
from tui.widgets.runs import Runs, wrap

_MAX_LINES = 4


class Banner(LiveCanvas):
    """Amber while the gateway is silent, red when the stream is lost or refused."""

    DEFAULT_CSS = """
    Banner {
        height: 1; display: none; background: $error 35%; scrollbar-size: 0 0; overflow: hidden;
        &.on { display: block; }
        &.stale { background: $warning 35%; }
        &:ansi { background: ansi_red; color: ansi_bright_white; }
        &.stale:ansi { background: ansi_yellow; color: ansi_black; }
    }
    """

    def __init__(self, view: View) -> None:
        super().__init__(view, id="banner")

    def text(self) -> str:
        """Return the sentence to show; empty while all is well."""
        view, link, glyphs = self.view, self.view.link, self.view.glyphs
        dot, why = f" {glyphs.middle} ", link.problem.why if link.problem else ""
        match view.link_state:
            case "refused":
                return f"{glyphs.error} {link.problem}"
            case "stale":
                return f"{glyphs.warn} no word from the gateway for {link.silent_seconds(view.now):.0f} s"
            case "offline":
                wait = max(0.0, link.retry_at - view.now)
                again = f"attempt {link.attempt} in {wait:.0f} s" if wait > 0 else f"attempt {link.attempt} now"
                if link.last_frame_at is None:
                    return f"{glyphs.again} {view.target} {why}{dot}{again}"
                old = f"showing data {link.silent_seconds(view.now):.0f} s old"
                return f"{glyphs.again} connection lost: the gateway {why}{dot}{old}{dot}{again}"
        return ""

    def pulse(self) -> None:
        text = self.text()
        lines = len(self._lines(text))
        self.set_class(bool(text), "on")
        self.set_class(self.view.link_state == "stale", "stale")
        if text and self.styles.height is not None and self.styles.height.value != lines:
            self.styles.height = lines
        super().pulse()

    def paint(self, y: int, width: int) -> Runs:
        lines = self._lines(self.text())
        return [(f" {lines[y]}", "bold")] if y < len(lines) else []

    def _lines(self, text: str) -> list[str]:
        return wrap(text, max(1, self._width() - 2))[:_MAX_LINES]

    def _width(self) -> int:
        """What it may take, also while it is not shown."""
        box = self.parent
        return box.content_size.width if isinstance(box, Widget) and box.content_size.width else self.app.size.width
