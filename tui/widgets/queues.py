"""The table of queues."""

from collections.abc import Callable, Mapping
from shlex import quote
from typing import Any, ClassVar

from tui.condition import OLDEST_WARN_SECONDS, queue_condition
from tui.glyphs import Glyphs
from tui.quantities import count, duration
from tui.rows import QueueRow
from tui.view import View
from tui.widgets.columns import Column
from tui.widgets.runs import Runs, fit
from tui.widgets.table import LiveTable


class QueuesTable(LiveTable[QueueRow]):
    """Queues with dead letters first."""

    ORDERS: ClassVar[Mapping[str, Callable[[QueueRow], tuple[Any, ...]]]] = {
        "attention": lambda row: (queue_condition(row).rank,),
        "depth": lambda row: (-row.depth,),
        "dead": lambda row: (-row.dead,),
        "oldest": lambda row: (-row.oldest_age_seconds,),
        "queue": lambda row: (row.queue,),
    }

    def __init__(self, view: View) -> None:
        super().__init__(view, _columns(view.glyphs), id="queues")

    def rows(self) -> Mapping[str, QueueRow]:
        return self.view.tables.queues

    def labels(self) -> tuple[str, str]:
        row = self.cursor_row
        return self.titled("queues"), (row.error if row else "") or self.sorted_by()

    def command(self) -> str | None:
        return f"dlq ls {quote(self.cursor_key)}" if self.cursor_key else None


def _columns(glyphs: Glyphs) -> list[Column[QueueRow]]:
    dots, none = glyphs.dots, glyphs.none

    def name(row: QueueRow, width: int) -> Runs:
        condition = queue_condition(row)
        return [(f"{condition.mark(glyphs)} ", condition.style), (fit(row.queue, width - 2, dots=dots), "text")]

    def number(row: QueueRow, value: int, style: str) -> Runs:
        if row.error:
            return [("?", "warn")]
        return [(count(value), style)] if value else [(none, "track")]

    def oldest(row: QueueRow) -> Runs:
        seconds = row.oldest_age_seconds
        if row.error or not seconds:
            return [(none, "track")]
        return [(duration(seconds), "warn" if seconds >= OLDEST_WARN_SECONDS else "dim")]

    return [
        Column("  QUEUE", 11, name, grow=1),
        Column("DEPTH", 5, lambda row, width: number(row, row.depth, "bold"), right=True),
        Column(
            "RUN",
            4,
            lambda row, width: number(row, row.pending, "text"),
            right=True,
            drop=2,
            by=lambda row: -row.pending,
        ),
        Column("OLDEST", 6, lambda row, width: oldest(row), right=True, drop=1),
        Column("DEAD", 4, lambda row, width: number(row, row.dead, "error"), right=True),
    ]
