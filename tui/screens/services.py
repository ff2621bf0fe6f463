"""The services: one row per process of the mesh, and every check that it stands on."""

from typing import TYPE_CHECKING

from textual.app import ComposeResult

from tui.rows import CheckRow
from tui.screens.view_screen import ViewScreen
from tui.sheet import Sheet
from tui.view import View
from tui.widgets.columns import Column
from tui.widgets.rooms import RoomsTable
from tui.widgets.runs import Runs
from tui.widgets.sheet_table import SheetTable, text_column

if TYPE_CHECKING:
    from tui.desk import Desk


class Services(ViewScreen):
    """Rooms above, checks below."""

    PLACE = "services"
    CSS = """
    Services #rooms { height: 1fr; min-height: 5; max-height: 14; }
    Services #checks { height: 2fr; }
    """

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.checks: Sheet[CheckRow] = Sheet()

    def body(self) -> ComposeResult:
        rooms = RoomsTable(self.view)
        rooms.filtered = True
        yield rooms

        def outcome(row: CheckRow, width: int) -> Runs:
            glyphs = self.view.glyphs
            return [(f"{glyphs.ok} ", "ok"), ("OK", "text")] if row.ok else [(f"{glyphs.error} FAILED", "error")]

        yield SheetTable(
            self.view,
            self.checks,
            [
                Column("OUTCOME", 8, outcome),
                text_column(self.view, "ROOM", 10, lambda row: row.room, style="bold"),
                text_column(self.view, "CHECK", 20, lambda row: row.name),
                text_column(
                    self.view,
                    "WHAT TO DO",
                    12,
                    lambda row: row.message,
                    style=lambda row: "dim" if row.ok else "error",
                    grow=1,
                ),
            ],
            id="checks",
            title="checks",
            none="no room checks anything",
            orders={
                "attention": lambda row: (row.ok, row.room),
                "room": lambda row: (row.room,),
                "check": lambda row: (row.name,),
            },
            command=lambda row: "doctor",
        )

    async def ask(self, desk: "Desk") -> None:
        await self.checks.fill(desk.checks())
