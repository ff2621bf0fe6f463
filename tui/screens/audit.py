"""The audit trail: who was let in and who was not, and what operators did."""

from shlex import quote
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from tui.rows import AuditRow
from tui.screens.view_screen import ViewScreen
from tui.sheet import Sheet
from tui.view import View
from tui.widgets.columns import Column
from tui.widgets.runs import Runs
from tui.widgets.sheet_table import SheetTable, text_column

if TYPE_CHECKING:
    from tui.desk import Desk

_ROWS = 500


class Audit(ViewScreen):
    """The newest decisions, newest first."""

    PLACE = "audit"

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.trail: Sheet[AuditRow] = Sheet()

    def body(self) -> ComposeResult:
        def outcome(row: AuditRow, width: int) -> Runs:
            glyphs = self.view.glyphs
            if row.outcome == "allow":
                return [(f"{glyphs.ok} ", "ok"), ("ALLOW", "text")]
            return [(f"{glyphs.error} {row.outcome.upper()}", "error")]

        yield SheetTable(
            self.view,
            self.trail,
            [
                text_column(self.view, "TIME", 19, lambda row: row.time.rstrip("Z").replace("T", " "), style="dim"),
                Column("OUTCOME", 7, outcome),
                text_column(self.view, "WHO", 14, lambda row: row.subject, style="bold", grow=1),
                text_column(self.view, "BY", 7, lambda row: row.auth_type, style="dim", drop=3),
                text_column(self.view, "TENANT", 8, lambda row: row.tenant_id, style="dim", drop=4),
                text_column(self.view, "METHOD", 7, lambda row: row.method, style="dim", drop=2),
                text_column(self.view, "WHAT", 22, lambda row: row.endpoint, grow=3),
                text_column(self.view, "WHY", 10, lambda row: row.reason, style="dim", grow=1, drop=1),
            ],
            id="trail",
            title="audit",
            none="nothing was decided yet",
            orders={
                "newest": lambda row: (-row.sequence,),
                "outcome": lambda row: (row.outcome == "allow", -row.sequence),
                "who": lambda row: (row.subject, -row.sequence),
                "what": lambda row: (row.endpoint, -row.sequence),
            },
            command=lambda row: f"audit --subject {quote(row.subject)}",
        )

    async def ask(self, desk: "Desk") -> None:
        await self.trail.fill(desk.audit(limit=_ROWS))
