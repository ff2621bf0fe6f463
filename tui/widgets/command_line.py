"""The line for commands."""

from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input

from tui.widgets.line import Line


class CommandLine(Line):
    """As the filter's line: focused within the key's own action, so that no key goes astray."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave the line", show=False)]
    DEFAULT_CSS = """
    CommandLine, CommandLine:focus {
        dock: bottom; height: 1; border: none; background: $accent 30%; padding: 0 1; display: none;
    }
    CommandLine.open, CommandLine.open:focus { display: block; }
    """

    def __init__(self, given: Callable[[str], Awaitable[None]]) -> None:
        super().__init__(
            id="command", placeholder="a view, or join, reconcile, live-pull, rebuild, sort, tail with what it is about"
        )
        self._given = given

    def action_leave(self) -> None:
        self.close()

    async def action_submit(self) -> None:
        """Give the command and wait for what it opens: the keys that come behind it are meant for that."""
        text = self.value
        self.close()
        await self._given(text)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
