"""What all views have alike: the lines above and below, the keys for rows, and questions asked while they are shown."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer, Input

from tui.clean import clean
from tui.commands import Command, Go, Quit, Sort, Tail, UnknownCommand, read_command
from tui.errors import ConsoleError
from tui.orders import Order, command_line
from tui.screens.confirm import Confirm
from tui.sheet import Sheet
from tui.view import Filter, View
from tui.widgets.banner import Banner
from tui.widgets.canvas import LiveCanvas
from tui.widgets.command_line import CommandLine
from tui.widgets.filter_line import FilterLine
from tui.widgets.header import Header
from tui.widgets.nav import Nav
from tui.widgets.row_text import RowText
from tui.widgets.table import LiveTable

if TYPE_CHECKING:
    from tui.desk import Desk

_COMPACT_CELLS = 100  # on fewer the keys at the foot stand closer together
_SHOWN_COMMAND = 160  # characters of a command line in a notice; `Y` copies the whole of it
_SETTLE_SECONDS = 0.15  # the cursor runs over rows; only where it rests is asked about


class ViewScreen(Screen[None]):
    """A view; subclasses yield their tables in `body` and ask the gateway in `ask`.

    Args:
        view: shared by all screens.
    """

    PLACE: ClassVar[str]
    """Name of the view."""
    ORDERS: ClassVar[frozenset[str]] = frozenset()
    """Actions that change something in the mesh: dimmed while they would be refused."""
    ASK_SECONDS: ClassVar[float] = 5.0
    BINDING_GROUP_TITLE = "Views"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-middle"), (136, "-roomy"), (176, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (18, "-short"), (28, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "Sort", show=False, tooltip="sort by the next column"),
        Binding("S", "turn_order", "Turn order", show=False, tooltip="turn the order round"),
        Binding("slash", "filter", "Filter", key_display="/", priority=True, tooltip="filter the rows"),
        Binding("colon", "command", "Command", key_display=":", priority=True, tooltip="give a command"),
        Binding("escape", "clear_filter", "Clear filter", show=False, tooltip="show all panels, or all rows"),
        Binding("y", "copy", "Copy id", show=False, tooltip="copy the row's id"),
        Binding("Y", "copy_command", "Copy command", show=False, tooltip="copy as a command line"),
        Binding("z", "zoom", "Zoom", show=False, tooltip="this table alone, and back"),
        Binding("tab", "app.focus_next", "Next table", show=False),
        Binding("shift+tab", "app.focus_previous", "Previous table", show=False),
    ]
    DEFAULT_CSS = """
    ViewScreen { background: $background; }
    ViewScreen #main { height: 1fr; layout: vertical; }
    ViewScreen #main > .top { height: 2fr; }
    ViewScreen #main > .below { height: 3fr; layout: horizontal; }
    ViewScreen #main > .below > * { height: 1fr; width: 1fr; }
    ViewScreen.-short RowText, ViewScreen.-tiny RowText { height: 2; }
    ViewScreen.-tiny RowText { display: none; }
    ViewScreen.zooming Tiles, ViewScreen.zooming Facts, ViewScreen.zooming RowText { display: none !important; }
    ViewScreen.zooming #main > * { display: none !important; }
    ViewScreen.zooming #main LiveCanvas { display: none !important; }
    ViewScreen.zooming #main .zoomed {
        display: block !important; width: 1fr !important; height: 1fr !important; max-height: 100% !important;
    }
    """

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view
        self._poke = asyncio.Event()

    def compose(self) -> ComposeResult:
        yield Header(self.view)
        yield Nav(self.view, self.PLACE)
        yield Banner(self.view)
        yield from self.above()
        with Container(id="main"):
            yield from self.body()
        yield from self.under()
        yield Footer(show_command_palette=False)
        yield FilterLine(self.set_filter)
        yield CommandLine(self.obey)

    @property
    def place(self) -> str:
        """What the filter belongs to."""
        return self.PLACE

    def above(self) -> Iterable[Widget]:
        """Give what stands above the tables."""
        return ()

    def body(self) -> ComposeResult:
        """Give the tables."""
        raise NotImplementedError

    def under(self) -> Iterable[Widget]:
        """Give what stands under the tables."""
        yield RowText(self.view)

    async def ask(self, desk: "Desk") -> None:
        """Ask the gateway for what the stream does not carry; sheets keep what goes wrong."""

    def main_table(self) -> Widget:
        """Return what has the keys at first."""
        return self.query(LiveTable).first()

    def on_mount(self) -> None:
        self.set_focus(self.main_table())  # not later: keys may be waiting, for a row under the cursor too
        self.pulse_all()
        self.run_worker(self._ask_again_and_again(), name=f"ask.{self.PLACE}", exit_on_error=False)

    def on_resize(self, event: events.Resize) -> None:
        self.query_one(Footer).compact = event.size.width < _COMPACT_CELLS

    def on_screen_resume(self) -> None:
        self.look_again()
        self.pulse_all()

    def on_live_table_cursor_moved(self, message: LiveTable.CursorMoved) -> None:
        self.cursor_moved(message.table)
        self._pulse_row()

    def on_descendant_focus(self) -> None:
        self._pulse_row()

    def cursor_moved(self, table: LiveTable[Any]) -> None:
        """Turn to the row under the cursor."""

    def look_again(self) -> None:
        """Ask soon."""
        self._poke.set()

    def turn(self, *sheets: Sheet[Any], about: str | None) -> None:
        """Let sheets be about something else and ask soon."""
        turned = [sheet.turn_to(about or "") for sheet in sheets]
        if any(turned):
            self.look_again()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave `/` and `:` to a line while it has the keys; orders are dimmed while they would be refused."""
        if action in {"filter", "command"}:
            return not isinstance(self.focused, Input)
        if action in self.ORDERS:
            return True if self.view.may_act else None
        return True

    def table(self) -> LiveTable[Any] | None:
        """Return the table that keys are about."""
        table = self.focused if isinstance(self.focused, LiveTable) else self.main_table()
        return table if isinstance(table, LiveTable) else None

    async def obey(self, text: str) -> None:
        """Carry out a command that was typed; what is wrong with it is said."""
        try:
            await self._obey(read_command(text))
        except ConsoleError as unknown:
            self.notify(str(unknown), severity="warning", markup=False)

    async def _obey(self, command: Command | None) -> None:
        match command:
            case None:
                return
            case Quit():
                self.app.exit()
            case Go(place, wanted):
                await self.go(place, wanted)
            case Tail(meeting_id):
                from tui.screens.session import open_session

                await open_session(self, meeting_id)
            case Sort(column, backwards):
                self._sort_by(column, backwards)
            case order:
                self.order(order)

    async def go(self, place: str, wanted: str = "") -> None:
        """Show another view, only what matches if something is wanted."""
        await self.app.run_action(f"app.view('{place}')")
        if wanted and isinstance(self.app.screen, ViewScreen):
            self.app.screen.set_filter(wanted)

    def _sort_by(self, column: str, backwards: bool) -> None:
        table = self.table()
        names = list(table.orders) if table is not None else []
        found = [name for name in names if name == column] or [name for name in names if name.startswith(column)]
        if table is None or len(found) != 1:
            raise UnknownCommand(f":sort takes one of {', '.join(names)}" if names else "nothing to sort here")
        table.sort_by(found[0], backwards=backwards)

    def action_sort(self) -> None:
        if table := self.table():
            table.next_order()

    def action_turn_order(self) -> None:
        if table := self.table():
            table.turn_order()

    def action_zoom(self) -> None:
        """Show the panel that has the focus alone, or all of them again."""
        if self.unzoom() or not isinstance(self.focused, LiveCanvas):
            return
        self.add_class("zooming")
        for node in (self.focused, *self.focused.ancestors):
            if node.id == "main":
                break
            node.add_class("zoomed")
        self.call_after_refresh(self.pulse_all)

    def unzoom(self) -> bool:
        """Show all panels; return whether there was one alone."""
        alone = self.has_class("zooming")
        self.remove_class("zooming")
        self.query(".zoomed").remove_class("zoomed")
        self.call_after_refresh(self.pulse_all)
        return alone

    def leave(self) -> None:
        """Close this detail; the view below it has its own filter."""
        self.dismiss()
        if isinstance(self.app.screen, ViewScreen):
            self.view.place = self.app.screen.place

    def action_filter(self) -> None:
        self.query_one(FilterLine).open(self.view.filter.text)

    def action_command(self) -> None:
        self.query_one(CommandLine).open()

    def action_clear_filter(self) -> None:
        if not self.unzoom():
            self.set_filter("")

    def action_copy(self) -> None:
        table = self.focused
        self._copy(table.cursor_key if isinstance(table, LiveTable) else None)

    def action_copy_command(self) -> None:
        table = self.focused
        arguments = table.command() if isinstance(table, LiveTable) else None
        self._copy(f"agent-console {arguments}" if arguments else None)

    def set_filter(self, text: str) -> None:
        """Show only what matches."""
        self.view.filter = Filter(text)
        self.pulse_all()

    def pulse_all(self) -> None:
        """Draw what has changed, now."""
        for canvas in self.query(LiveCanvas):
            canvas.pulse()

    def order(self, *orders: Order) -> None:
        """Give orders one after the other, each is answered on the screen; none while it would be refused."""
        if why := self.view.why_not_act():
            self.notify(why, severity="warning", markup=False)
            return
        under_way = self.view.under_way
        fresh = [order for order in orders if (order.action, order.target) not in under_way]
        if orders and not fresh:
            self.say("this is under way already")
        elif fresh:
            under_way.update((order.action, order.target) for order in fresh)
            # Of the application: an order goes on when its screen is left.
            self.app.run_worker(self._give(fresh), name="orders", exit_on_error=False)

    async def order_if_confirmed(self, orders: Sequence[Order], *, title: str, what: str, name: str = "") -> None:
        """Give orders once they were confirmed, with the reason that was given; `name` has to be typed, if there is
        one. The keys that come behind wait for the question.
        """

        def answered(reason: str | None) -> None:
            if reason is not None:
                self.order(*(replace(order, reason=reason) for order in orders))

        if why := self.view.why_not_act():
            self.notify(why, severity="warning", markup=False)
            return
        await self.app.push_screen(Confirm(self.view, title, what, name=name, command=command_line(orders)), answered)

    def say(self, sentence: str, *, wrong: bool = False) -> None:
        """Show a sentence for a while."""
        self.notify(sentence, severity="error" if wrong else "information", markup=False)

    async def _give(self, orders: Sequence[Order]) -> None:
        desk, done = self.view.desk, 0
        if desk is None:
            return
        said = ""
        try:
            for order in orders:
                try:
                    said = await desk.run(order)
                    done += 1
                except ConsoleError as refusal:
                    self.say(str(refusal), wrong=True)
                    if len(orders) > 1 and refusal.exit_code != 1:  # the others would fare no better
                        break
            if done:
                what = said if len(orders) == 1 else f"{done} of {len(orders)} done. {said}"
                self.say(f"{what}\n{clean(command_line(orders), limit=_SHOWN_COMMAND)}")
            # What is shown is true again before the same order can be given again.
            await self.ask(desk)
            if self.is_attached:
                self.pulse_all()
        finally:
            self.view.under_way.difference_update((order.action, order.target) for order in orders)

    async def _ask_again_and_again(self) -> None:
        while True:
            desk = self.view.desk
            shown = self in self.app.screen_stack
            if desk is not None and shown and not self.view.paused and self.view.link_state in {"live", "stale"}:
                await self.ask(desk)
                self.pulse_all()
            try:
                async with asyncio.timeout(self.ASK_SECONDS if self.view.link_state == "live" else 0.5):
                    await self._poke.wait()
                await asyncio.sleep(_SETTLE_SECONDS)
            except TimeoutError:
                pass
            self._poke.clear()

    def _copy(self, text: str | None) -> None:
        if text is None:
            self.say("no row is chosen")
            return
        self.app.copy_to_clipboard(text)
        self.say(f"copied {text}")

    def _pulse_row(self) -> None:
        for row in self.query(RowText):
            row.pulse()
