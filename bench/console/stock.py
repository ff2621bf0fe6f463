"""`python -m bench.console.stock TARGET KEY`: the peer, the library's own DataTable over the same stream.

It reads the stream with the console's client, so that only the drawing differs, and looks at it as often as the console
does. It writes the cells that changed, as the library's guide has it.
"""

import asyncio
import sys

from textual.app import App, ComposeResult
from textual.widgets import DataTable

import kit  # noqa: F401 - before the console's client: gRPC reads its switches when it is imported
from tui.app import SCREEN_HZ
from tui.client import Watch, open_watch
from tui.connection import Connection
from tui.rows import SessionRow
from tui.store import Store

COLUMNS = {
    "STATE": 8, "ID": 8, "MEETING": 22, "VIA": 8, "TRK": 3, "LEVEL": 7, "LAG": 7, "WORDS": 6, "AGE": 7, "NOTE": 16,
}  # fmt: skip


def cells(row: SessionRow) -> tuple[str, ...]:
    """Return what stands in a row, in the order of the columns."""
    return (
        row.state, row.meeting_id[-8:], row.title, row.provider, str(row.tracks), "━" * (row.level * 7 // 255),
        f"{row.lag_ms} ms", f"{row.words:,}", f"{row.age_seconds // 60}m{row.age_seconds % 60:02}", row.note,
    )  # fmt: skip


class Stock(App[None]):
    """One table over the whole screen."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch
        self._shown: dict[str, tuple[str, ...]] = {}
        self._version = 0

    def compose(self) -> ComposeResult:
        yield DataTable()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        for name, width in COLUMNS.items():
            table.add_column(name, key=name, width=width)
        self.set_interval(1 / SCREEN_HZ, self._look)

    def _look(self) -> None:
        store = self._watch.store
        if store.version == self._version:
            return
        self._version = store.version
        table = self.query_one(DataTable)
        for key, row in store.tables.sessions.items():
            new, old = cells(row), self._shown.get(key)
            if old is None:
                table.add_row(*new, key=key)
            else:
                for name, cell, before in zip(COLUMNS, new, old, strict=True):
                    if cell != before:
                        table.update_cell(key, name, cell)
            self._shown[key] = new


async def main(target: str, key: str) -> None:
    """Show the table until killed."""
    async with open_watch(Connection(target, key, "argument"), Store(), max_hz=2) as watch:
        await Stock(watch).run_async()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
