"""The full-screen console: the composition root of what an operator sees."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Input

from kit.clock import monotonic
from tui.client import open_watch
from tui.connection import Connection
from tui.desk import open_desk
from tui.errors import ConsoleError
from tui.glyphs import Glyphs
from tui.lean_updates import send_lean_updates
from tui.logs import LogLines
from tui.screens.audit import Audit
from tui.screens.breakers import Breakers
from tui.screens.help import Help, key_group
from tui.screens.logs import Logs
from tui.screens.meetings import Meetings
from tui.screens.overview import Overview
from tui.screens.queues import Queues
from tui.screens.services import Services
from tui.screens.sessions import Sessions
from tui.screens.storage import Storage
from tui.screens.view_screen import ViewScreen
from tui.store import Store
from tui.theme import THEMES, ThemeWish, theme_name
from tui.transcript import Transcript
from tui.view import View
from tui.widgets.canvas import LiveCanvas
from tui.widgets.line import Line
from tui.widgets.nav import VIEWS, Chosen
from tui.widgets.table import LiveTable

_SCREENS: tuple[type[ViewScreen], ...] = (
    Overview,
    Sessions,
    Queues,
    Breakers,
    Services,
    Storage,
    Audit,
    Meetings,
    Logs,
)
SCREEN_HZ = 4.0
_KEPT_PLACES = 50
_INTRODUCE_SECONDS = 2.0
_AT_LEAST_EVERY_SECONDS = 1.0  # clocks and ages go on without news

_KEY_NAMES = {"pageup": "pgup", "pagedown": "pgdn", "escape": "esc", "shift+tab": "shift+tab", "question_mark": "?"}


class ConsoleApp(App[None]):
    """Draws a view on its own clock: a stream that is faster than the screen costs nothing."""

    TITLE = "agent-console"
    ENABLE_COMMAND_PALETTE = False
    BINDING_GROUP_TITLE = "Everywhere"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(key, f"view('{place}')", place.capitalize(), show=False, priority=True, tooltip=f"go to {place}")
            for key, place in VIEWS.items()
        ),
        Binding("minus", "last_view", "Last view", show=False, key_display="-", tooltip="the view before, and back"),
        Binding(
            "left_square_bracket", "history(-1)", "Earlier", show=False, key_display="[", tooltip="an earlier view"
        ),
        Binding("right_square_bracket", "history(1)", "Later", show=False, key_display="]", tooltip="a later view"),
        Binding("question_mark", "help", "Help", key_display="?", tooltip="this help"),
        Binding("space", "pause", "Pause", key_display="space", tooltip="freeze the screen"),
        Binding("ctrl+r", "reconnect_now", "Connect", show=False, priority=True, tooltip="ask the gateway anew, now"),
        Binding("q", "back", "Back", tooltip="leave the detail, or the view"),
        Binding("ctrl+q", "quit", "Quit", priority=True, tooltip="quit from anywhere"),
    ]
    CSS = """
    Toast { max-width: 60; }
    ConsoleApp.ascii Toast { border-left: none !important; }
    Footer { background: $panel; }
    """

    def __init__(
        self,
        view: View,
        *,
        theme: ThemeWish,
        screen_hz: float = SCREEN_HZ,
        connect_now: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.view = view
        self._connect_now = connect_now
        self._theme_wish = theme
        self._screen_hz = screen_hz
        self._drawn: tuple[object, ...] = ()
        self._drawn_at = 0.0
        self._visited = [Overview.PLACE]
        self._at = 0
        """Which of the visited views is shown."""
        self._last_place = Overview.PLACE
        self._asking = False
        self._might_act = False
        self.animation_level = "none"
        self.set_class(view.glyphs.is_ascii, "ascii")

    async def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        colours = None if self.is_headless or self.no_color else self.console.color_system
        self.theme = theme_name(self._theme_wish, colours)
        # A mode per view: each keeps its own stack of dialogs and details.
        for screen in _SCREENS:
            self.add_mode(screen.PLACE, partial(screen, self.view))
        await self._show(Overview.PLACE)
        self.set_interval(1 / self._screen_hz, self._tick)

    async def on_event(self, event: events.Event) -> None:
        """Carry a key out before the next one is looked at.

        Over SSH many keys arrive in one read. Textual sends each to the widget that has the focus at that moment, and
        runs what it is bound to later: what is typed behind `/`, `x` or enter would go to the screen before it opened.
        """
        if isinstance(event, events.Key) and not event.is_forwarded:
            await self._carry_out(event)
        else:
            await super().on_event(event)

    async def _carry_out(self, event: events.Key) -> None:
        if not self.screen_stack:  # it is leaving
            return
        line = self.focused
        if isinstance(line, Line) and event.is_printable and event.character:
            line.take(event.character)
        elif not await self._check_bindings(event.key, priority=True):
            await self._check_bindings(event.key)

    async def action_view(self, place: str) -> None:
        """Show a view; from a detail that was opened above it, the view itself."""
        if place != self.current_mode:
            del self._visited[self._at + 1 :]
            self._visited = [*self._visited, place][-_KEPT_PLACES:]
            self._at = len(self._visited) - 1
            await self._show(place)
        while isinstance(self.screen, ViewScreen) and len(self.screen_stack) > 1:
            self.screen.leave()

    async def action_last_view(self) -> None:
        await self.action_view(self._last_place)

    async def action_history(self, steps: int) -> None:
        """Go back or on among the views that were visited."""
        at = self._at + steps
        if 0 <= at < len(self._visited):
            self._at = at
            await self._show(self._visited[at])

    async def action_back(self) -> None:
        """Leave a detail, else the view; this key never ends the program."""
        if isinstance(self.screen, ViewScreen) and len(self.screen_stack) > 1:
            self.screen.leave()
        elif self._at:
            await self.action_history(-1)
        else:
            self.notify("ctrl+q or :q leaves the console", markup=False)

    def action_reconnect_now(self) -> None:
        """Open a new stream without waiting for the next attempt."""
        self.view.caller = None
        self._connect_now()

    async def on_chosen(self, message: Chosen) -> None:
        await self.action_view(message.place)

    async def _show(self, place: str) -> None:
        if self.current_mode in self._visited:
            self._last_place = self.current_mode
        await self.switch_mode(place)
        if isinstance(self.screen, ViewScreen):
            self.view.place = self.screen.place

    def action_pause(self) -> None:
        self.view.toggle_pause()
        self._pulse()

    async def action_help(self) -> None:
        """Show the keys of where we are."""
        panels = [LiveTable if isinstance(panel, LiveTable) else type(panel) for panel in self._panels()]
        kinds: dict[type[Any], None] = dict.fromkeys((type(self.screen), *panels, ViewScreen, type(self)))
        groups = [
            key_group(kind.BINDING_GROUP_TITLE or "", vars(kind)["BINDINGS"], _KEY_NAMES)
            for kind in kinds
            if vars(kind).get("BINDINGS")
        ]
        await self.push_screen(Help(groups, self.view))

    def _panels(self) -> list[LiveCanvas]:
        return [panel for panel in self.screen.query(LiveCanvas) if panel.can_focus]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A dialog has the keys to itself, and a line its digits; quitting is always possible."""
        if action in {"quit", "reconnect_now", "focus_next", "focus_previous"}:
            return True
        if action == "view" and isinstance(self.focused, Input):
            return False
        return not isinstance(self.screen, ModalScreen)

    def _tick(self) -> None:
        if not self.screen_stack:  # amid a change of views
            return
        now = monotonic()
        self.view.tick(now)
        self._introduce()
        if self.view.may_act != self._might_act:  # keys are dimmed, or no longer
            self._might_act = self.view.may_act
            self.refresh_bindings()
            self.screen.refresh_bindings()
        drawn = (self.view.store.version, self.view.link_state, self.view.caller, self._told_version())
        if drawn != self._drawn or now - self._drawn_at >= _AT_LEAST_EVERY_SECONDS:
            self._drawn, self._drawn_at = drawn, now
            self._pulse()

    def _introduce(self) -> None:
        """Ask once who we are; a gateway that came back may take us for somebody else."""
        if self.view.link_state in {"offline", "refused"}:
            self.view.caller = None
        elif self.view.caller is None and self.view.desk is not None and self.view.store.ready and not self._asking:
            self._asking = True
            self.run_worker(self._ask_who_we_are(), name="whoami", exit_on_error=False)

    async def _ask_who_we_are(self) -> None:
        if self.view.desk is None:
            return
        try:
            self.view.caller = await self.view.desk.whoami()
        except ConsoleError:
            await asyncio.sleep(_INTRODUCE_SECONDS)
        finally:
            self._asking = False

    def _told_version(self) -> int:
        """Number of changes that a stream of the screen's own has told."""
        told = getattr(self.screen, "transcript", None) or getattr(self.screen, "lines", None)
        return told.version if isinstance(told, Transcript | LogLines) else 0

    def _pulse(self) -> None:
        for screen in reversed(self.screen_stack):
            for canvas in screen.query(LiveCanvas):
                canvas.pulse()
            if not isinstance(screen, ModalScreen):  # what lies below it cannot be seen
                return


async def run_console(
    connection: Connection, *, glyphs: Glyphs, theme: ThemeWish, mouse: bool, max_hz: int, read_only: bool = False
) -> None:
    """Show the console until the operator quits; `read_only` gives no orders, whatever the key may do.

    Raises:
        ConsoleError: the gateway had refused the caller, which the screen said; the shell is told as well.
    """
    send_lean_updates()
    store = Store(ascii_only=glyphs.is_ascii)
    async with (
        open_desk(connection, ascii_only=glyphs.is_ascii) as desk,
        open_watch(connection, store, max_hz=max_hz) as watch,
    ):
        view = View(
            store,
            watch.link,
            target=store.clean(connection.target),
            glyphs=glyphs,
            desk=desk,
            read_only=read_only,
            tenant=connection.tenant,
        )
        await ConsoleApp(view, theme=theme, connect_now=watch.again).run_async(mouse=mouse)
        refusal = watch.link.refusal
    if refusal is not None:
        raise refusal
