"""The sessions: every live meeting, and what an operator can do to its recorder."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.orders import Order
from tui.screens.session import open_session
from tui.screens.session_orders import ask_to_leave, reconnect_order
from tui.screens.view_screen import ViewScreen
from tui.widgets.sessions import SessionsTable


class Sessions(ViewScreen):
    """One table over the whole screen."""

    PLACE = "sessions"
    BINDING_GROUP_TITLE = "Sessions"
    ORDERS = frozenset({"reconnect", "leave", "reconcile"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", key_display="enter", tooltip="what is said in it"),
        Binding("r", "reconnect", "Reconnect", tooltip="leave and join again"),
        Binding("x", "leave", "Leave", tooltip="take the recorder out"),
        Binding("R", "reconcile", "Reconcile", show=False, tooltip="rejoin what went stale"),
    ]

    def body(self) -> ComposeResult:
        yield SessionsTable(self.view)

    async def action_open(self) -> None:
        await open_session(self, self.query_one(SessionsTable).cursor_key)

    def action_reconnect(self) -> None:
        if row := self.query_one(SessionsTable).cursor_row:
            self.order(reconnect_order(row))

    async def action_leave(self) -> None:
        if row := self.query_one(SessionsTable).cursor_row:
            await ask_to_leave(self, row)

    def action_reconcile(self) -> None:
        self.order(Order("connector.reconcile", "", "reconcile"))
