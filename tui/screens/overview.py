"""The overview: live sessions, rooms, queues and breakers on one screen."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Footer

from tui.view import Filter, View
from tui.widgets.banner import Banner
from tui.widgets.breakers import BreakersTable
from tui.widgets.filter_line import FilterLine
from tui.widgets.header import Header
from tui.widgets.queues import QueuesTable
from tui.widgets.rooms import RoomsTable
from tui.widgets.sessions import SessionsTable
from tui.widgets.table import LiveTable
from tui.widgets.tiles import Tiles


class Overview(Screen[None]):
    """Sessions above, the rest below; beside them where the terminal is wide, gone where it is tiny."""

    BINDING_GROUP_TITLE = "Overview"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-middle"), (136, "-roomy"), (176, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (18, "-short"), (28, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "Sort", tooltip="sort sessions"),
        Binding("slash", "filter", "Filter", key_display="/", priority=True, tooltip="filter sessions"),
        Binding("escape", "clear_filter", "Clear filter", show=False, tooltip="show all sessions"),
        Binding("c", "copy", "Copy id", tooltip="copy the row's id"),
        Binding("tab", "app.focus_next", "Next table", show=False),
        Binding("shift+tab", "app.focus_previous", "Previous table", show=False),
    ]
    CSS = """
    Overview { background: $background; }
    Overview #main { height: 1fr; layout: vertical; }
    Overview #sessions { height: 1fr; }
    Overview #side { layout: horizontal; height: 8; }
    Overview #side > * { height: 1fr; }
    Overview #rooms { width: 31; }
    Overview #queues { width: 25; }
    Overview #breakers { width: 1fr; }
    Overview.-tall #side { height: 10; }
    Overview.-middle #rooms { width: 46%; }
    Overview.-middle #queues, Overview.-roomy #queues { width: 1fr; }
    Overview.-roomy #rooms { width: 70; }
    Overview.-roomy #breakers { width: 36; }
    Overview.-short #tiles, Overview.-tiny #tiles { height: 3; }
    Overview.-tiny #side, Overview.-tiny #tiles { display: none; }
    Overview.-wide #main { layout: horizontal; }
    Overview.-wide #sessions { width: 1fr; }
    Overview.-wide #side { layout: vertical; width: 70; height: 1fr; }
    Overview.-wide #side > * { width: 1fr; height: 1fr; }
    """

    def __init__(self, view: View) -> None:
        super().__init__()
        self._view = view

    def compose(self) -> ComposeResult:
        yield Header(self._view)
        yield Banner(self._view)
        yield Tiles(self._view)
        with Container(id="main"):
            yield SessionsTable(self._view)
            with Container(id="side"):
                yield RoomsTable(self._view)
                yield QueuesTable(self._view)
                yield BreakersTable(self._view)
        yield Footer(show_command_palette=False)
        yield FilterLine()

    def on_mount(self) -> None:
        self._sessions.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave `/` to the filter line while it has the keys."""
        if action == "filter":
            return not isinstance(self.focused, FilterLine)
        return True

    def action_sort(self) -> None:
        self._sessions.next_order()

    def action_filter(self) -> None:
        self.query_one(FilterLine).open(self._view.filter.text)

    def action_clear_filter(self) -> None:
        self._filter("")

    def action_copy(self) -> None:
        table = self.focused
        key = table.cursor_key if isinstance(table, LiveTable) else None
        if key is None:
            self.notify("no row is chosen", markup=False)
            return
        self.app.copy_to_clipboard(key)
        self.notify(f"copied {key}", markup=False)

    def on_filter_line_typed(self, message: FilterLine.Typed) -> None:
        self._filter(message.text)

    def _filter(self, text: str) -> None:
        self._view.filter = Filter(text)
        self._sessions.pulse()
        self.query_one(Header).pulse()

    @property
    def _sessions(self) -> SessionsTable:
        return self.query_one(SessionsTable)
