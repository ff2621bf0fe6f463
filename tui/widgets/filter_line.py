"""The line for the filter."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input


class FilterLine(Input):
    """Always mounted, and focused within the key's own action: keys that arrive in the same read, as they do over
    SSH, go into the line and never to the screen below.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "clear", "clear the filter", show=False)]
    DEFAULT_CSS = """
    FilterLine, FilterLine:focus {
        dock: bottom; height: 1; border: none; background: $primary 30%; padding: 0 1; display: none;
    }
    FilterLine.open, FilterLine.open:focus { display: block; }
    """

    class Typed(Message):
        """The filter is this now."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self) -> None:
        super().__init__(
            id="filter",
            placeholder="words a session must have, !word one it must not; enter keeps the filter, esc clears it",
        )
        self._back: Widget | None = None

    def open(self, text: str) -> None:
        """Show the line and take the keys."""
        self._back = self.screen.focused
        with self.prevent(Input.Changed):
            self.value = text
        self.add_class("open")
        self.display = True
        self.screen.set_focus(self)

    def action_clear(self) -> None:
        self.post_message(self.Typed(""))
        self._close()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Typed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._close()

    def _close(self) -> None:
        self.remove_class("open")
        self.display = False
        self.screen.set_focus(self._back)
