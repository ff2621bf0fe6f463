"""The queues: their counts, and the jobs of the one under the cursor, dead letters first to be mended."""

from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.condition import Style
from tui.orders import Order, job_order
from tui.rows import JobRow
from tui.screens.view_screen import ViewScreen
from tui.sheet import Sheet
from tui.view import View
from tui.widgets.columns import Column
from tui.widgets.queues import QueuesTable
from tui.widgets.runs import Runs
from tui.widgets.sheet_table import SheetTable, text_column
from tui.widgets.table import LiveTable

if TYPE_CHECKING:
    from tui.desk import Desk

_STYLES: dict[str, Style] = {"dead": "error", "running": "ok", "ready": "text", "waiting": "dim", "done": "dim"}
_RANKS = {"dead": 0, "running": 1, "ready": 2, "waiting": 3}


class Queues(ViewScreen):
    """Queues above, jobs below."""

    PLACE = "queues"
    BINDING_GROUP_TITLE = "Queues"
    ORDERS = frozenset({"requeue", "drop"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "requeue", "Requeue", tooltip="requeue the job, or all dead letters"),
        Binding("x", "drop", "Drop", tooltip="delete the dead letter, or all"),
        Binding("d", "dead", "Dead only", tooltip="dead letters or all jobs"),
    ]
    CSS = """
    Queues #queues { height: 1fr; min-height: 5; max-height: 16; }
    Queues #jobs { height: 2fr; }
    """

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.jobs: Sheet[JobRow] = Sheet()
        self._dead_only = True

    def body(self) -> ComposeResult:
        queues = QueuesTable(self.view)
        queues.filtered = True
        yield queues
        yield SheetTable(
            self.view,
            self.jobs,
            _columns(self.view),
            id="jobs",
            title="jobs",
            none="no dead letters here, d shows all jobs",
            orders={
                "attention": lambda row: (_RANKS.get(row.state, 9),),
                "newest": lambda row: (tuple(-ord(character) for character in row.create_time),),
                "kind": lambda row: (row.kind,),
                "error": lambda row: (row.last_error,),
            },
            command=lambda row: f"dlq requeue {quote(row.queue)} {quote(row.job_id)}",
        )

    async def ask(self, desk: "Desk") -> None:
        if self.jobs.about:
            await self.jobs.fill(desk.jobs(self.jobs.about, "dead" if self._dead_only else ""))

    def cursor_moved(self, table: LiveTable) -> None:  # type: ignore[type-arg]
        if isinstance(table, QueuesTable):
            self.turn(self.jobs, about=table.cursor_key)

    def action_dead(self) -> None:
        self._dead_only = not self._dead_only
        about = self.jobs.about
        self.jobs.turn_to("")
        self.turn(self.jobs, about=about)

    def action_requeue(self) -> None:
        self.order(*self._orders("job.requeue"))

    def action_drop(self) -> None:
        orders = self._orders("job.drop")
        if orders:
            queue, many = self.jobs.about, len(orders)
            self.order_if_confirmed(
                orders,
                title="Drop dead letters",
                what=f"{many} dead {'letter' if many == 1 else 'letters'} of {queue} on {self.view.target} "
                "will be deleted.",
                name=queue,
            )

    def _orders(self, action: str) -> Sequence[Order]:
        """Return the orders about the job under the cursor, or about every dead letter when a queue is chosen."""
        table = self.query_one("#jobs", SheetTable)
        dead = [row for row in self.jobs.rows.values() if row.state == "dead"]
        if table.has_focus:
            dead = [row for row in dead if row.key == table.cursor_key]
        if not dead:
            self.say("no dead letter is chosen")
        return [job_order(action, row.queue, row.job_id) for row in dead]


def _columns(view: View) -> list[Column[JobRow]]:
    def state(row: JobRow, width: int) -> Runs:
        mark = view.glyphs.error if row.state == "dead" else view.glyphs.ok if row.state == "running" else " "
        return [(f"{mark} {row.state.upper()}", _STYLES.get(row.state, "text"))]

    return [
        Column("STATE", 9, state),
        text_column(view, "JOB", 8, lambda row: row.job_id[-8:], style="dim", drop=3),
        text_column(view, "KIND", 14, lambda row: row.kind, style="bold"),
        text_column(view, "FOR", 8, lambda row: row.about[-8:], style="dim", drop=2),
        text_column(view, "TRIES", 5, lambda row: f"{row.attempts}/{row.max_attempts}", right=True, drop=1),
        text_column(view, "CREATED", 19, lambda row: row.create_time.rstrip("Z").replace("T", " "), drop=4),
        text_column(
            view,
            "LAST ERROR",
            16,
            lambda row: row.last_error,
            style=lambda row: "error" if row.state == "dead" else "dim",
            grow=1,
        ),
    ]
