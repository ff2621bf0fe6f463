"""What an operator can do to one session, in the state that the screen shows."""

from tui.orders import Order
from tui.rows import SessionRow
from tui.screens.view_screen import ViewScreen
from tui.widgets.sessions import SHORT_ID


def reconnect_order(row: SessionRow) -> Order:
    """Return the order to leave and join again, in the state that is shown."""
    return Order("session.reconnect", row.meeting_id, "reconnect this session", expected_state=row.state)


async def ask_to_leave(screen: ViewScreen, row: SessionRow) -> None:
    """Take the recorder out once the session's short id was typed."""
    await screen.order_if_confirmed(
        [Order("session.leave", row.meeting_id, "leave this meeting", expected_state=row.state)],
        title="Stop recording",
        what=f"The recorder leaves {row.title or row.meeting_id} ({row.state}); what is said from then on is not kept.",
        name=row.meeting_id[-SHORT_ID:],
    )
