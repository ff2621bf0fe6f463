"""The breakers: their states, the history of the one under the cursor, and the ledger of reconciliation."""

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from tui.orders import Order
from tui.rows import ChangeRow, DecisionRow
from tui.screens.view_screen import ViewScreen
from tui.sheet import Sheet
from tui.view import View
from tui.widgets.breakers import BreakersTable
from tui.widgets.sheet_table import SheetTable, clock, text_column
from tui.widgets.table import LiveTable

if TYPE_CHECKING:
    from tui.desk import Desk

_ROOM_BREAKERS = ("stt.",)
"""Breakers with these names close by themselves; nobody keeps their history."""


class Breakers(ViewScreen):
    """Breakers above, history and ledger below."""

    PLACE = "breakers"
    BINDING_GROUP_TITLE = "Breakers"
    ORDERS = frozenset({"reset", "reconcile"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "reset", "Reset", tooltip="close the breaker"),
        Binding("R", "reconcile", "Reconcile", tooltip="rejoin what went stale"),
    ]
    CSS = """
    Breakers #breakers { height: 1fr; min-height: 5; max-height: 16; }
    Breakers .below { height: 2fr; }
    Breakers #history { width: 40%; }
    Breakers.-narrow .below { layout: vertical; }
    Breakers.-narrow #history { width: 1fr; }
    """

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.history: Sheet[ChangeRow] = Sheet()
        self.ledger: Sheet[DecisionRow] = Sheet()

    def body(self) -> ComposeResult:
        breakers = BreakersTable(self.view)
        breakers.filtered = True
        yield breakers
        with Container(classes="below"):
            yield SheetTable(
                self.view,
                self.history,
                [
                    text_column(self.view, "TIME", 8, lambda row: clock(row.time), style="dim"),
                    text_column(
                        self.view,
                        "STATE",
                        10,
                        lambda row: row.state.replace("_", "-").upper(),
                        style=lambda row: "ok" if row.state == "closed" else "error",
                    ),
                    text_column(self.view, "WHY", 8, lambda row: row.reason, grow=1),
                ],
                id="history",
                title="history",
                none="it never changed",
            )
            yield SheetTable(
                self.view,
                self.ledger,
                [
                    text_column(self.view, "TIME", 8, lambda row: clock(row.time), style="dim"),
                    text_column(self.view, "MEETING", 8, lambda row: row.meeting_id[-8:], style="dim", drop=2),
                    text_column(self.view, "VIA", 9, lambda row: row.provider, style="dim", drop=3),
                    text_column(self.view, "SEEN", 14, lambda row: row.observed, grow=1),
                    text_column(
                        self.view,
                        "DONE",
                        9,
                        lambda row: row.action,
                        style=lambda row: "dim" if row.action == "none" else "info",
                    ),
                    text_column(self.view, "WHY", 14, lambda row: row.reason, grow=1, drop=1),
                    text_column(self.view, "BY", 8, lambda row: row.source, style="dim", drop=4),
                ],
                id="ledger",
                title="reconciliation",
                none="nothing was decided yet",
            )

    async def ask(self, desk: "Desk") -> None:
        if self.history.about and not self.history.about.startswith(_ROOM_BREAKERS):
            await self.history.fill(desk.breaker_history(self.history.about))
        else:
            self.history.asked = True
        await self.ledger.fill(desk.decisions())

    def cursor_moved(self, table: LiveTable) -> None:  # type: ignore[type-arg]
        if isinstance(table, BreakersTable):
            self.turn(self.history, about=table.cursor_key)

    def action_reset(self) -> None:
        row = self.query_one(BreakersTable).cursor_row
        if row is None:
            self.say("no breaker is chosen")
            return
        self.order(Order("breaker.reset", row.name, f"reset {row.name}", expected_state=row.state))

    def action_reconcile(self) -> None:
        self.order(Order("connector.reconcile", "", "reconcile"))
