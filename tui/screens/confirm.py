"""The question before an order: what becomes of what, why, and, where it cannot be undone, its name typed out."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tui.clean import clean
from tui.view import View
from tui.widgets.banner import Banner
from tui.widgets.line import Line


class Confirm(ModalScreen[str | None]):
    """Answers with the reason, which may be empty, once enter is pressed; None if it was cancelled.

    Args:
        view: shared by all screens; no order leaves while it would be refused.
        title: what is about to be done.
        what: what will become of what, and how many of them, in a sentence.
        name: has to be typed; empty for what can be undone.
        command: the command line that does the same.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "cancel", show=False),
        Binding("enter", "answer", "do it", show=False, priority=True),
        Binding("tab,down", "app.focus_next", show=False),
        Binding("shift+tab,up", "app.focus_previous", show=False),
    ]
    CSS = """
    Confirm { align: center middle; background: $background 60%; }
    Confirm > Vertical {
        width: 76; max-width: 98%; height: auto; max-height: 96%; padding: 1 2; background: $surface;
        border: round $warning; border-title-color: $warning; border-subtitle-color: $text-muted;
    }
    Confirm.final > Vertical { border: round $error; border-title-color: $error; }
    Confirm.ascii > Vertical { border: ascii $warning; }
    Confirm.ascii.final > Vertical { border: ascii $error; }
    Confirm Static { height: auto; }
    Confirm .said { margin-bottom: 1; }
    Confirm .command { color: $text-muted; margin-top: 1; }
    Confirm Input, Confirm Input:focus { border: none; height: 1; padding: 0 1; background: $primary 15%; }
    Confirm Input:focus { background: $primary 40%; }
    Confirm Banner { margin-bottom: 1; }
    Confirm #reason { margin-top: 0; }
    """

    def __init__(self, view: View, title: str, what: str, *, name: str = "", command: str = "") -> None:
        super().__init__(classes=" ".join(filter(None, ("ascii" * view.glyphs.is_ascii, "final" * bool(name)))))
        self.view = view
        self._heading = title
        self._what = what
        self._wanted = name
        self._command = command

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title, box.border_subtitle = Content(self._heading), "enter does it, esc cancels"
            yield Banner(self.view)
            undone = "This cannot be undone and stands" if self._wanted else "This stands"
            yield Static(Content(f"{self._what} {undone} in the audit trail."), classes="said")
            if self._wanted:
                yield Static(Content.assemble("Type ", (self._wanted, "bold"), " to confirm:"))
                yield Line(id="typed")
            yield Static("Why, for the audit trail (may stay empty):")
            yield Line(id="reason")
            if self._command:
                yield Static(Content(f"the same: {self._command}"), classes="command")

    def on_mount(self) -> None:
        self.set_focus(self.query(Line).first())

    def action_cancel(self) -> None:
        self.dismiss(None)

    def action_answer(self) -> None:
        """Let the order go, if the name stands there and the gateway is there to take it."""
        if why := self.view.why_not_act():
            self.notify(why, severity="warning", markup=False)
        elif self._wanted and self.query_one("#typed", Input).value.strip() != self._wanted:
            self.notify("that is not the name", severity="warning", markup=False)
            self.set_focus(self.query_one("#typed", Input))
        else:
            self.dismiss(clean(self.query_one("#reason", Input).value.strip(), limit=500))
