"""The meetings, live and over: their reports, and what became of the deliveries of the one under the cursor."""

from shlex import quote
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.condition import Style
from tui.orders import Order
from tui.quantities import duration
from tui.rows import DeliveryRow, MeetingRow
from tui.screens.session import open_session
from tui.screens.view_screen import ViewScreen
from tui.sheet import Sheet
from tui.view import View
from tui.widgets.columns import Column
from tui.widgets.runs import Runs, fit
from tui.widgets.sheet_table import SheetTable, text_column
from tui.widgets.table import LiveTable

if TYPE_CHECKING:
    from tui.desk import Desk

_STATES: dict[str, Style] = {"live": "ok", "failed": "error", "scheduled": "info"}
_REPORTS: dict[str, Style] = {"ready": "ok", "failed": "error"}
_DELIVERIES: dict[str, Style] = {"sent": "ok", "failed": "error"}


class Meetings(ViewScreen):
    """Meetings above, deliveries below."""

    PLACE = "meetings"
    BINDING_GROUP_TITLE = "Meetings"
    ORDERS = frozenset({"rebuild", "redeliver"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", key_display="enter", tooltip="what was said in it"),
        Binding("b", "rebuild", "Rebuild", tooltip="build the report again"),
        Binding("r", "redeliver", "Redeliver", tooltip="send the report again"),
    ]
    CSS = """
    Meetings #meetings { height: 3fr; }
    Meetings #deliveries { height: 1fr; min-height: 5; }
    """

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.meetings: Sheet[MeetingRow] = Sheet()
        self.deliveries: Sheet[DeliveryRow] = Sheet()

    def body(self) -> ComposeResult:
        yield SheetTable(
            self.view,
            self.meetings,
            _meeting_columns(self.view),
            id="meetings",
            title="meetings",
            none="there are none yet",
            orders={
                "newest": lambda row: (tuple(-ord(character) for character in row.create_time),),
                "state": lambda row: (row.state,),
                "title": lambda row: (row.title.casefold(),),
                "length": lambda row: (-row.duration_ms,),
            },
            command=lambda row: f"tail {quote(row.meeting_id)}",
        )
        yield SheetTable(
            self.view,
            self.deliveries,
            _delivery_columns(self.view),
            id="deliveries",
            title="deliveries",
            none="nothing was sent",
            command=lambda row: f"report redeliver {quote(self.deliveries.about)} {quote(row.delivery_id)}",
        )

    async def ask(self, desk: "Desk") -> None:
        await self.meetings.fill(desk.meetings())
        if self.deliveries.about:
            await self.deliveries.fill(desk.deliveries(self.deliveries.about))

    def cursor_moved(self, table: LiveTable) -> None:  # type: ignore[type-arg]
        if table.id == "meetings":
            self.turn(self.deliveries, about=table.cursor_key)

    async def action_open(self) -> None:
        await open_session(self, self._meetings.cursor_key)

    def action_rebuild(self) -> None:
        row = self._meetings.cursor_row
        if isinstance(row, MeetingRow):
            expected = row.report_state
            self.order(Order("report.rebuild", row.meeting_id, "rebuild this report", expected_state=expected))

    def action_redeliver(self) -> None:
        row = self.query_one("#deliveries", SheetTable).cursor_row
        if not isinstance(row, DeliveryRow):
            self.say("no delivery is chosen")
            return
        target = f"{self.deliveries.about}/{row.delivery_id}"
        self.order(Order("delivery.retry", target, "deliver this again", expected_state=row.state))

    @property
    def _meetings(self) -> SheetTable[MeetingRow]:
        return self.query_one("#meetings", SheetTable)


def _meeting_columns(view: View) -> list[Column[MeetingRow]]:
    def title(row: MeetingRow, width: int) -> Runs:
        shown = fit(row.title or "(no title)", width, dots=view.glyphs.dots)
        return [(shown, "text" if row.title else "dim")]

    return [
        text_column(view, "STATE", 9, lambda row: row.state.upper(), style=lambda row: _STATES.get(row.state, "dim")),
        text_column(view, "ID", 8, lambda row: row.meeting_id[-8:], style="dim", drop=4),
        Column("MEETING", 18, title, grow=1),
        text_column(view, "VIA", 9, lambda row: row.provider, style="dim", drop=2),
        text_column(view, "LANG", 4, lambda row: row.language, style="dim", drop=5),
        text_column(view, "BEGAN", 16, lambda row: row.create_time[:16].replace("T", " "), drop=1),
        text_column(
            view,
            "LENGTH",
            7,
            lambda row: duration(row.duration_ms // 1000) if row.duration_ms else "",
            right=True,
        ),
        text_column(view, "LINES", 5, lambda row: str(row.segments or ""), right=True, drop=3),
        text_column(
            view, "REPORT", 9, lambda row: row.report_state, style=lambda row: _REPORTS.get(row.report_state, "dim")
        ),
    ]


def _delivery_columns(view: View) -> list[Column[DeliveryRow]]:
    return [
        text_column(
            view, "STATE", 8, lambda row: row.state.upper(), style=lambda row: _DELIVERIES.get(row.state, "info")
        ),
        text_column(view, "CHANNEL", 10, lambda row: row.channel, style="bold"),
        text_column(view, "TRIED", 19, lambda row: row.update_time.rstrip("Z").replace("T", " "), style="dim"),
        text_column(view, "TRIES", 5, lambda row: str(row.attempts), right=True),
        text_column(view, "LAST ERROR", 16, lambda row: row.last_error, style="error", grow=1),
    ]
