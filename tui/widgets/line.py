"""A line that is written into: what is pasted is made harmless, and what was typed ahead stays in its order."""

from textual import events
from textual.widget import Widget
from textual.widgets import Input

from tui.clean import clean


class Line(Input):
    """An input that is mounted always; those at the foot of a view are shown while they are open."""

    def __init__(self, *, id: str, placeholder: str = "") -> None:  # noqa: A002
        super().__init__(id=id, placeholder=placeholder)
        self.cursor_blink = False  # each blink would be sent over SSH
        self._back: Widget | None = None

    def open(self, text: str = "") -> None:
        """Show the line and take the keys."""
        self._back = self.screen.focused
        with self.prevent(Input.Changed):
            self.value = text
        self.cursor_position = len(text)
        self.add_class("open")
        self.display = True
        self.screen.set_focus(self)

    def close(self) -> None:
        """Hide the line and give the keys back."""
        self.remove_class("open")
        self.display = False
        self.screen.set_focus(self._back)

    def take(self, text: str) -> None:
        """Write a text where the cursor stands, over what is selected."""
        if self.selection.is_empty:
            self.insert_text_at_cursor(text)
        else:
            self.replace(text, *self.selection)

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self.take(clean(event.text))
