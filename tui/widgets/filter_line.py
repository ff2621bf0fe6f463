"""The line for the filter."""

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input

from tui.widgets.line import Line


class FilterLine(Line):
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

    def __init__(self, typed: Callable[[str], None]) -> None:
        super().__init__(
            id="filter",
            placeholder="words a row must have, !word one it must not; enter keeps the filter, esc clears it",
        )
        self._typed = typed

    def take(self, text: str) -> None:
        super().take(text)
        self._typed(self.value)  # now, not when the message comes: the next key may be an order

    def action_clear(self) -> None:
        self._typed("")
        self.close()

    async def action_submit(self) -> None:
        self._typed(self.value)
        self.close()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.has_class("open"):  # a change that is told late must not bring a cleared filter back
            self._typed(event.value)
