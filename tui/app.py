"""The full-screen console: the composition root of what an operator sees."""

import asyncio
from functools import partial
from typing import Any, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Input

from kit.clock import monotonic
from tui.client import open_watch
from tui.commands import Go, Quit, Tail, read_command
from tui.connection import Connection
from tui.desk import open_desk
from tui.errors import ConsoleError
from tui.glyphs import Glyphs
from tui.screens.audit import Audit
from tui.screens.breakers import Breakers
from tui.screens.help import Help, key_group
from tui.screens.meetings import Meetings
from tui.screens.overview import Overview
from tui.screens.queues import Queues
from tui.screens.services import Services
from tui.screens.session import open_session
from tui.screens.sessions import Sessions
from tui.screens.storage import Storage
from tui.screens.view_screen import ViewScreen
from tui.store import Store
from tui.theme import THEMES, ThemeWish, theme_name
from tui.transcript import Transcript
from tui.view import Filter, View
from tui.widgets.canvas import LiveCanvas
from tui.widgets.command_line import CommandLine
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
)
SCREEN_HZ = 4.0
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
        Binding("minus", "last_view", "Last view", show=False, key_display="-", tooltip="the view before"),
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
        self._drawn: tuple[object, ...] = ()
        self._drawn_at = 0.0
        self._last_place = Overview.PLACE
        self._asking = False
        self._might_act = False
        self.animation_level = "none"

    def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        colours = None if self.is_headless or self.no_color else self.console.color_system
        self.theme = theme_name(self._theme_wish, colours)
        # A mode per view: each keeps its own stack of dialogs and details.
        for screen in _SCREENS:
            self.add_mode(screen.PLACE, partial(screen, self.view))
        self.action_view(Overview.PLACE)
        self.set_interval(1 / self._screen_hz, self._tick)

    def action_view(self, place: str) -> None:
        """Show a view."""
        if place != self.view.place:
            self._last_place, self.view.place = self.view.place or place, place
            self.switch_mode(place)

    def action_last_view(self) -> None:
        self.action_view(self._last_place)

    def on_chosen(self, message: Chosen) -> None:
        self.action_view(message.place)

    def on_command_line_entered(self, message: CommandLine.Entered) -> None:
        try:
            command = read_command(message.text)
        except ConsoleError as unknown:
            self.notify(str(unknown), severity="warning", markup=False)
            return
        screen = self.screen
        match command:
            case None:
                return
            case Quit():
                self.exit()
            case Go(place, wanted):
                self.action_view(place)
                if wanted:
                    self.view.filter = Filter(wanted)
            case Tail(meeting_id):
                open_session(screen, meeting_id)
            case order if isinstance(screen, ViewScreen):
                if self.view.may_act:
                    screen.order(order)
                else:
                    self.notify("orders cannot be given now: see the first line", severity="warning", markup=False)

    def action_pause(self) -> None:
        self.view.toggle_pause()
        self._pulse()

    def action_help(self) -> None:
        """Show the keys of where we are."""
        kinds: dict[type[Any], None] = dict.fromkeys((LiveTable, type(self.screen), ViewScreen, type(self)))
        groups = [
            key_group(kind.BINDING_GROUP_TITLE or "", vars(kind).get("BINDINGS", ()), _KEY_NAMES) for kind in kinds
        ]
        self.push_screen(Help(groups, self.view.glyphs))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A dialog has the keys to itself, and a line its digits; quitting is always possible."""
        if action == "quit":
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
        drawn = (self.view.store.version, self.view.link_state, self.view.caller, self._transcript_version())
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

    def _transcript_version(self) -> int:
        transcript = getattr(self.screen, "transcript", None)
        return transcript.version if isinstance(transcript, Transcript) else 0

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
        )
        await ConsoleApp(view, theme=theme).run_async(mouse=mouse)
        refusal = watch.link.refusal
    if refusal is not None:
        raise refusal
