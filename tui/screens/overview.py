"""The overview: live sessions, rooms, queues and breakers on one screen."""

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widget import Widget

from tui.screens.session import open_session
from tui.screens.view_screen import ViewScreen
from tui.widgets.breakers import BreakersTable
from tui.widgets.queues import QueuesTable
from tui.widgets.rooms import RoomsTable
from tui.widgets.sessions import SessionsTable
from tui.widgets.tiles import Tiles


class Overview(ViewScreen):
    """Sessions above, the rest below; beside them where the terminal is wide, gone where it is tiny."""

    PLACE = "overview"
    BINDING_GROUP_TITLE = "Overview"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "Sort", tooltip="sort sessions"),
        Binding("enter", "open", "Open", key_display="enter", tooltip="what is said in the session"),
    ]
    CSS = """
    Overview #sessions { height: 1fr; }
    Overview #side { layout: horizontal; height: 8; }
    Overview #side > * { height: 1fr; }
    Overview #rooms { width: 31; }
    Overview #queues { width: 25; }
    Overview #breakers { width: 1fr; }
    Overview.-tall #side { height: 10; }
    Overview.-middle #rooms { width: 46%; }
    Overview.-middle #queues, Overview.-roomy #queues { width: 1fr; }
    Overview.-roomy #rooms { width: 66; }
    Overview.-roomy #breakers { width: 42; }
    Overview.-short #tiles, Overview.-tiny #tiles { height: 3; }
    Overview.-tiny #side, Overview.-tiny #tiles { display: none; }
    Overview.-wide #main { layout: horizontal; }
    Overview.-wide #sessions { width: 1fr; }
    Overview.-wide #side { layout: vertical; width: 70; height: 1fr; }
    Overview.-wide #side > * { width: 1fr; height: 1fr; }
    """

    def above(self) -> Iterable[Widget]:
        yield Tiles(self.view)

    def body(self) -> ComposeResult:
        yield SessionsTable(self.view)
        with Container(id="side"):
            yield RoomsTable(self.view)
            yield QueuesTable(self.view)
            yield BreakersTable(self.view)

    def under(self) -> Iterable[Widget]:
        return ()

    async def action_open(self) -> None:
        await open_session(self, self.query_one(SessionsTable).cursor_key)
