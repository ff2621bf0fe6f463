"""The line for commands."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input


class CommandLine(Input):
    """As the filter's line: always mounted, and focused within the key's own action, so that no key goes astray."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave the line", show=False)]
    DEFAULT_CSS = """
    CommandLine, CommandLine:focus {
        dock: bottom; height: 1; border: none; background: $accent 30%; padding: 0 1; display: none;
    }
    CommandLine.open, CommandLine.open:focus { display: block; }
    """

    class Entered(Message):
        """A command was given."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self) -> None:
        super().__init__(
            id="command", placeholder="a view, or join, reconcile, live-pull, rebuild, tail with what it is about"
        )
        self._back: Widget | None = None

    def open(self) -> None:
        """Show the line and take the keys."""
        self._back = self.screen.focused
        self.value = ""
        self.add_class("open")
        self.display = True
        self.screen.set_focus(self)

    def action_leave(self) -> None:
        self.remove_class("open")
        self.display = False
        self.screen.set_focus(self._back)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_leave()
        self.post_message(self.Entered(event.value))
