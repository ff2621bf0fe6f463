"""The first line: what is watched, how the stream is doing, what time it is."""

from collections.abc import Callable
from datetime import datetime

from kit.clock import now as wall_clock
from tui.view import View
from tui.widgets.canvas import LiveCanvas
from tui.widgets.runs import Runs, apart, fit

_ROOMY_CELLS = 100
_SHORT_CELLS = 12
"""Where there is less room, what may be done counts more than the end of a name."""


class Header(LiveCanvas):
    """One line. The clock is UTC, as in the rooms' log lines."""

    DEFAULT_CSS = """
    Header { height: 1; background: $panel; scrollbar-size: 0 0; overflow: hidden; }
    """

    def __init__(self, view: View, *, clock: Callable[[], datetime] = wall_clock) -> None:
        super().__init__(view, id="header")
        self._clock = clock

    def paint(self, y: int, width: int) -> Runs:
        line = (f" {self.view.glyphs.separator} ", "track")
        left: Runs = [(" agent-console", "accent"), line, self._link()]
        if self.view.paused:
            left += [line, ("PAUSED", "warn")]
        left += [line, (self.view.target, "bold")]
        if self.view.caller is not None:
            role = "read-only" if self.view.read_only else self.view.caller.role
            subject = self.view.caller.subject
            if width < _ROOMY_CELLS:
                subject = fit(subject, min(len(subject), _SHORT_CELLS), dots=self.view.glyphs.dots)
            left += [line, (f"{subject} {self.view.glyphs.middle} {role}", "text")]
            if self.view.tenant:
                left.append((f" {self.view.glyphs.middle} tenant {self.view.caller.tenant_id}", "info"))
        if self.view.filter:
            left += [line, (f"/{self.view.filter.text}", "info")]
        return apart(left, [(f"{self._clock():%H:%M:%S}Z ", "bold")], width)

    def _link(self) -> tuple[str, str]:
        glyphs, view = self.view.glyphs, self.view
        match view.link_state:
            case "live":
                return f"{glyphs.ok} CONNECTED", "ok"
            case "stale":
                return f"{glyphs.warn} STALE {view.link.silent_seconds(view.now):.0f} s", "warn"
            case "offline":
                return f"{glyphs.again} OFFLINE", "error"
            case "refused":
                return f"{glyphs.error} REFUSED", "error"
        return f"{glyphs.idle} CONNECTING", "info"
