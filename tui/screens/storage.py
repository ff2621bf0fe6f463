"""The storage: what a probe of the blob store found, room by room."""

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult

from tui.quantities import milliseconds
from tui.rows import StorageRow
from tui.screens.view_screen import ViewScreen
from tui.sheet import Sheet
from tui.view import View
from tui.widgets.columns import Column
from tui.widgets.runs import Runs
from tui.widgets.sheet_table import SheetTable, text_column

if TYPE_CHECKING:
    from tui.desk import Desk


class Storage(ViewScreen):
    """A probe writes, reads and deletes; so it is not made often."""

    PLACE = "storage"
    ASK_SECONDS: ClassVar[float] = 10.0

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.probes: Sheet[StorageRow] = Sheet()

    def body(self) -> ComposeResult:
        def outcome(row: StorageRow, width: int) -> Runs:
            glyphs = self.view.glyphs
            return [(f"{glyphs.ok} ", "ok"), ("OK", "text")] if row.ok else [(f"{glyphs.error} FAILED", "error")]

        yield SheetTable(
            self.view,
            self.probes,
            [
                Column("PROBE", 8, outcome),
                text_column(self.view, "ROOM", 10, lambda row: row.room, style="bold"),
                text_column(self.view, "MODE", 9, lambda row: row.mode),
                text_column(
                    self.view, "TIME", 8, lambda row: milliseconds(row.latency_ms) if row.ok else "", right=True
                ),
                text_column(self.view, "WHERE", 16, lambda row: row.path, style="dim", grow=1, drop=1),
                text_column(self.view, "WHAT IS WRONG", 16, lambda row: row.error, style="error", grow=1),
            ],
            id="probes",
            title="storage",
            none="no room keeps blobs",
            orders={"attention": lambda row: (row.ok,), "room": lambda row: (row.room,)},
            command=lambda row: "doctor",
        )

    async def ask(self, desk: "Desk") -> None:
        await self.probes.fill(desk.storage())
