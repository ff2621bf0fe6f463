"""The question before something cannot be undone: its name has to be typed."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tui.glyphs import Glyphs


class Confirm(ModalScreen[bool]):
    """Answers True once the name stands there and enter is pressed.

    Args:
        title: what is about to be done.
        what: what will become of what, and how many of them, in a sentence.
        name: has to be typed.
        glyphs: to draw with.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel", show=False)]
    CSS = """
    Confirm { align: center middle; background: $background 60%; }
    Confirm > Vertical {
        width: 76; max-width: 98%; height: auto; max-height: 96%; padding: 1 2; background: $surface;
        border: round $error; border-title-color: $error; border-subtitle-color: $text-muted;
    }
    Confirm.ascii > Vertical { border: ascii $error; }
    Confirm Static { height: auto; margin-bottom: 1; }
    Confirm Input, Confirm Input:focus { border: none; height: 1; padding: 0 1; background: $primary 30%; }
    """

    def __init__(self, title: str, what: str, name: str, glyphs: Glyphs) -> None:
        super().__init__(classes="ascii" if glyphs.is_ascii else None)
        self._heading = title
        self._what = what
        self._wanted = name

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title, box.border_subtitle = Content(self._heading), "enter does it, esc cancels"
            yield Static(Content(f"{self._what} This cannot be undone and stands in the audit trail."))
            yield Static(Content.assemble("Type ", (self._wanted, "bold"), " to confirm:"))
            yield Input(id="typed")

    def action_cancel(self) -> None:
        self.dismiss(False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip() == self._wanted:
            self.dismiss(True)
        else:
            self.notify("that is not the name", severity="warning", markup=False)
