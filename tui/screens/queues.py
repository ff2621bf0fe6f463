"""The queues: their counts, and the jobs of the one under the cursor, dead letters first to be mended."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.condition import Style
from tui.orders import DEAD, Order, command_line, job_order
from tui.rows import JobRow
from tui.screens.view_screen import ViewScreen
from tui.sheet import Sheet
from tui.view import View
from tui.widgets.columns import Column
from tui.widgets.facts import Facts
from tui.widgets.queues import QueuesTable
from tui.widgets.runs import Runs, wrap
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
        Binding("r", "requeue", "Requeue", tooltip="requeue job, marked or all"),
        Binding("x", "drop", "Drop", tooltip="delete job, marked or all"),
        Binding("d", "dead", "Dead only", tooltip="dead letters or all jobs"),
        Binding("l", "logs", "Logs", tooltip="the log lines about the job's meeting, or the queue"),
    ]
    CSS = """
    Queues #queues { height: 1fr; min-height: 5; max-height: 16; }
    Queues #jobs { height: 2fr; }
    Queues #payload { height: 5; }
    Queues.-short #payload, Queues.-tiny #payload { display: none; }
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
            command=self._command,
            markable=lambda row: row.state == DEAD,
        )
        yield Facts(self.view, self._payload, title="payload of the job, secrets masked", id="payload")

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

    async def action_logs(self) -> None:
        row = self._jobs.cursor_row if self._jobs.has_focus else None
        await self.go("logs", row.about.partition("/")[0] or row.job_id if row is not None else self.jobs.about)

    async def action_requeue(self) -> None:
        """Give dead letters another chance: at once, unless some were marked, for which one reason is asked."""
        orders = await self._orders("job.requeue")
        if orders and self._jobs.marks:
            what = f"{self._counted(orders)} will be tried again."
            await self.order_if_confirmed(orders, title="Requeue marked dead letters", what=what)
        else:
            self.order(*orders)

    async def action_drop(self) -> None:
        if orders := await self._orders("job.drop"):
            what = f"{self._counted(orders)} on {self.view.target} will be deleted."
            title = f"Drop {'marked ' if self._jobs.marks else ''}dead letters"
            await self.order_if_confirmed(orders, title=title, what=what, name=self.jobs.about)

    def _payload(self, width: int) -> Sequence[Runs]:
        row = self._jobs.cursor_row
        if row is None or not row.payload:
            return [[(self.view.glyphs.none, "track")]]
        return [[(line, "text")] for line in wrap(row.payload, max(1, width))]

    def _counted(self, orders: Sequence[Order]) -> str:
        return f"{len(orders)} dead {'letter' if len(orders) == 1 else 'letters'} of {self.jobs.about}"

    async def _orders(self, action: str) -> Sequence[Order]:
        """Return the orders about the jobs that are marked; else about the one under the cursor, or about every dead
        letter when a queue is chosen.
        """
        queues = self.query_one(QueuesTable)
        if self.view.may_act and queues.cursor_key is not None:
            self.turn(self.jobs, about=queues.cursor_key)
            await self.jobs.answered()
        table = self._jobs
        dead = [row for row in self.jobs.rows.values() if row.state == DEAD]
        if table.marks:
            dead = [row for row in table.marked_rows if row.state == DEAD]
        elif table.has_focus:
            dead = [row for row in dead if row.key == table.cursor_key]
        if not dead:
            self.say("no dead letter is chosen")
        return [job_order(action, row.queue, row.job_id) for row in dead]

    def _command(self, row: JobRow) -> str:
        """Return the command line about the jobs that are marked, else about one."""
        rows = self._jobs.marked_rows or [row]
        return command_line([job_order("job.requeue", one.queue, one.job_id) for one in rows]).partition(" ")[2]

    @property
    def _jobs(self) -> SheetTable[JobRow]:
        return self.query_one("#jobs", SheetTable)


def _columns(view: View) -> list[Column[JobRow]]:
    def state(row: JobRow, width: int) -> Runs:
        mark = view.glyphs.error if row.state == "dead" else view.glyphs.ok if row.state == "running" else " "
        return [(f"{mark} {row.state.upper()}", _STYLES.get(row.state, "text"))]

    return [
        Column("STATE", 9, state),
        text_column(view, "JOB", 8, lambda row: row.job_id[-8:], style="dim", drop=3),
        text_column(view, "KIND", 14, lambda row: row.kind, style="bold"),
        text_column(view, "FOR", 8, lambda row: row.about[-8:], style="dim", drop=2),
        text_column(
            view,
            "TRIES",
            5,
            lambda row: f"{row.attempts}/{row.max_attempts}",
            right=True,
            drop=1,
            by=lambda row: -row.attempts,
        ),
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
