"""The second line: the views with their keys, the one that is shown marked."""

from textual import events
from textual.message import Message

from tui.view import View
from tui.widgets.canvas import LiveCanvas
from tui.widgets.runs import Runs, width_of

VIEWS = {
    "1": "overview",
    "2": "sessions",
    "3": "queues",
    "4": "breakers",
    "5": "services",
    "6": "storage",
    "7": "audit",
    "8": "meetings",
    "9": "logs",
}


class Nav(LiveCanvas):
    """One line; a click goes there."""

    DEFAULT_CSS = """
    Nav { height: 1; background: $panel; scrollbar-size: 0 0; overflow: hidden; }
    """

    def __init__(self, view: View, place: str) -> None:
        super().__init__(view, id="nav")
        self._place = place

    def paint(self, y: int, width: int) -> Runs:
        runs = self._names(" ", "  ")
        return runs if width_of(runs) <= width else self._names("", " ")

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        at = 0
        for text, _ in self.paint(0, self.size.width):
            at += len(text)
            if offset.x < at:
                if text.strip()[:1] in VIEWS:
                    self.app.post_message(Chosen(VIEWS[text.strip()[0]]))
                return

    def _names(self, between: str, gap: str) -> Runs:
        runs: Runs = []
        for key, name in VIEWS.items():
            shown = f" {key}{between}{name.capitalize()} " if gap == "  " else f"{key}{name.capitalize()}{gap}"
            runs.append((shown, "here" if name == self._place else "dim"))
        return runs


class Chosen(Message):
    """The operator wants to see a view."""

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place
