"""The full-screen console: the composition root of what an operator sees."""

from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from kit.clock import monotonic
from tui.client import open_watch
from tui.connection import Connection
from tui.glyphs import Glyphs
from tui.screens.help import Help, key_group
from tui.screens.overview import Overview
from tui.store import Store
from tui.theme import THEMES, ThemeWish, theme_name
from tui.view import View
from tui.widgets.canvas import LiveCanvas
from tui.widgets.table import LiveTable

OVERVIEW = "overview"
SCREEN_HZ = 4.0
_AT_LEAST_EVERY_SECONDS = 1.0  # clocks and ages go on without news

_KEY_NAMES = {"pageup": "pgup", "pagedown": "pgdn", "escape": "esc", "shift+tab": "shift+tab", "question_mark": "?"}


class ConsoleApp(App[None]):
    """Draws a view on its own clock: a stream that is faster than the screen costs nothing."""

    TITLE = "agent-console"
    ENABLE_COMMAND_PALETTE = False
    BINDING_GROUP_TITLE = "Everywhere"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause", key_display="space", tooltip="freeze the screen"),
        Binding("question_mark", "help", "Help", key_display="?", tooltip="this help"),
        Binding("q", "quit", "Quit", tooltip="quit"),
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True, tooltip="quit from anywhere"),
    ]
    CSS = """
    Toast { max-width: 60; }
    Footer { background: $panel; }
    """

    def __init__(self, view: View, *, theme: ThemeWish, screen_hz: float = SCREEN_HZ) -> None:
        super().__init__()
        self.view = view
        self._theme_wish = theme
        self._screen_hz = screen_hz
        self._drawn = (-1, "")
        self._drawn_at = 0.0
        self.animation_level = "none"

    def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        colours = None if self.is_headless or self.no_color else self.console.color_system
        self.theme = theme_name(self._theme_wish, colours)
        # A mode per view: each keeps its own stack of dialogs and details.
        self.add_mode(OVERVIEW, lambda: Overview(self.view))
        self.switch_mode(OVERVIEW)
        self.set_interval(1 / self._screen_hz, self._tick)

    def action_pause(self) -> None:
        self.view.toggle_pause()
        self._pulse()

    def action_help(self) -> None:
        screens = (LiveTable, type(self.screen), type(self))
        groups = [key_group(kind.BINDING_GROUP_TITLE or "", kind.BINDINGS, _KEY_NAMES) for kind in screens]
        self.push_screen(Help(groups, self.view.glyphs))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A dialog has the keys to itself; quitting is always possible."""
        return action == "quit" or not isinstance(self.screen, ModalScreen)

    def _tick(self) -> None:
        now = monotonic()
        self.view.tick(now)
        drawn = (self.view.store.version, self.view.link_state)
        if drawn != self._drawn or now - self._drawn_at >= _AT_LEAST_EVERY_SECONDS:
            self._drawn, self._drawn_at = drawn, now
            self._pulse()

    def _pulse(self) -> None:
        for screen in reversed(self.screen_stack):
            for canvas in screen.query(LiveCanvas):
                canvas.pulse()
            if not isinstance(screen, ModalScreen):  # what lies below it cannot be seen
                return


async def run_console(connection: Connection, *, glyphs: Glyphs, theme: ThemeWish, mouse: bool, max_hz: int) -> None:
    """Show the console until the operator quits.

    Raises:
        ConsoleError: the gateway had refused the caller, which the screen said; the shell is told as well.
    """
    store = Store(ascii_only=glyphs.is_ascii)
    async with open_watch(connection, store, max_hz=max_hz) as watch:
        view = View(store, watch.link, target=store.clean(connection.target), glyphs=glyphs)
        await ConsoleApp(view, theme=theme).run_async(mouse=mouse)
        refusal = watch.link.refusal
    if refusal is not None:
        raise refusal
