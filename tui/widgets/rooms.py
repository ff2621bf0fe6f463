"""The table of rooms: one row per process of the mesh."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from tui.condition import room_condition
from tui.glyphs import Glyphs
from tui.quantities import duration, mebibytes
from tui.rows import RoomRow
from tui.view import View
from tui.widgets.columns import Column
from tui.widgets.runs import Runs, fit
from tui.widgets.table import LiveTable


class RoomsTable(LiveTable[RoomRow]):
    """Rooms in need first."""

    ORDERS: ClassVar[Mapping[str, Callable[[RoomRow], tuple[Any, ...]]]] = {
        "attention": lambda row: (room_condition(row).rank,),
        "room": lambda row: (row.room,),
        "mem": lambda row: (-row.memory_mib,),
        "cpu": lambda row: (-row.cpu_percent,),
        "up": lambda row: (row.uptime_seconds,),
    }

    def __init__(self, view: View) -> None:
        super().__init__(view, _columns(view.glyphs), id="rooms")

    def rows(self) -> Mapping[str, RoomRow]:
        return self.view.tables.rooms

    def labels(self) -> tuple[str, str]:
        row = self.cursor_row
        return self.titled("rooms"), (row.error if row else "") or self.sorted_by()

    def command(self) -> str | None:
        return "services"


def _columns(glyphs: Glyphs) -> list[Column[RoomRow]]:
    dots, none = glyphs.dots, glyphs.none

    def state(row: RoomRow, width: int) -> Runs:
        condition = room_condition(row)
        word = "text" if condition.word == "SERVING" else condition.style
        return [(f"{condition.mark(glyphs)} ", condition.style), (fit(condition.word, width - 2, dots=dots), word)]

    def known(row: RoomRow, text: str) -> Runs:
        """What a room tells of itself; there is nothing to tell of one that is away."""
        return [(none, "track")] if row.state == "away" else [(text, "text")]

    def detail(row: RoomRow, width: int) -> Runs:
        style = room_condition(row).style if row.error else "dim"
        return [(fit(row.error or row.detail, width, dots=dots), style)]

    return [
        Column("STATE", 11, state),
        Column("ROOM", 9, lambda row, width: [(fit(row.room, width, dots=dots), "bold")]),
        Column("PID", 7, lambda row, width: known(row, str(row.pid)), right=True, drop=6, by=lambda row: row.pid),
        Column("UP", 6, lambda row, width: known(row, duration(row.uptime_seconds)), right=True, drop=1),
        Column("MEM", 6, lambda row, width: known(row, mebibytes(row.memory_mib)), right=True, drop=2),
        Column("CPU", 5, lambda row, width: known(row, f"{row.cpu_percent:.0f} %"), right=True, drop=4),
        Column(
            "RPCS",
            4,
            lambda row, width: known(row, str(row.open_rpcs)),
            right=True,
            drop=5,
            by=lambda row: -row.open_rpcs,
        ),
        Column("DETAIL", 12, detail, grow=1, drop=3),
    ]
