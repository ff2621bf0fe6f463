"""The console without a screen: rows as aligned lines or as JSON, once or whenever they change."""

import asyncio
import json as jsonlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len

from tui.client import Watch, open_watch
from tui.condition import Condition, breaker_condition, queue_condition, room_condition, session_condition
from tui.connection import Connection
from tui.errors import Unreachable
from tui.quantities import count, duration, mebibytes, milliseconds
from tui.rows import BreakerRow, QueueRow, RoomRow, Row, SessionRow, row_fields
from tui.store import Store
from tui.widgets.runs import fit

ANSWER_SECONDS = 10.0
"""Time for the first snapshot."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a topic are written. `cells` start with the state; `>` before a heading aligns it right."""

    headings: Sequence[str]
    cells: Callable[[Any], Sequence[str]]
    condition: Callable[[Any], Condition]
    notable: Callable[[Any], object]
    """What has to change for a row to be written again: not what changes all the time."""


def _session_cells(row: SessionRow) -> Sequence[str]:
    return (
        session_condition(row).word,
        row.meeting_id,
        row.provider,
        str(row.tracks),
        milliseconds(row.lag_ms),
        count(row.words),
        duration(row.age_seconds),
        row.title,
        row.note,
    )


def _room_cells(row: RoomRow) -> Sequence[str]:
    numbers: tuple[str, ...] = ("-",) * 5  # there is nothing to tell of a room that is away
    if row.state != "away":
        numbers = (
            str(row.pid),
            duration(row.uptime_seconds),
            mebibytes(row.memory_mib),
            f"{row.cpu_percent:.0f} %",
            str(row.open_rpcs),
        )
    return (room_condition(row).word, row.room, row.version or "-", *numbers, row.error or row.detail)


def _queue_cells(row: QueueRow) -> Sequence[str]:
    numbers: tuple[str, ...] = ("?",) * 4
    if not row.error:
        numbers = (count(row.depth), count(row.pending), count(row.dead), duration(row.oldest_age_seconds))
    return (queue_condition(row).word, row.queue, *numbers, row.error)


def _breaker_cells(row: BreakerRow) -> Sequence[str]:
    return (
        breaker_condition(row).word,
        row.name,
        f"{row.failures}/{row.threshold}",
        duration(row.since_seconds),
    )


LAYOUTS: Mapping[str, Layout] = {
    "sessions": Layout(
        ("STATE", "MEETING ID", "VIA", ">TRK", ">LAG", ">WORDS", ">AGE", "TITLE", "NOTE"),
        _session_cells,
        session_condition,
        lambda row: (row.state, row.title, row.provider, row.tracks, row.note),
    ),
    "rooms": Layout(
        ("STATE", "ROOM", "VERSION", ">PID", ">UP", ">MEM", ">CPU", ">RPCS", "DETAIL"),
        _room_cells,
        room_condition,
        lambda row: (row.state, row.version, row.pid, row.detail, row.error),
    ),
    "queues": Layout(
        ("STATE", "QUEUE", ">DEPTH", ">RUN", ">DEAD", ">OLDEST", "ERROR"),
        _queue_cells,
        queue_condition,
        lambda row: (row.depth, row.pending, row.dead, row.error),
    ),
    "breakers": Layout(
        ("STATE", "BREAKER", ">FAILURES", ">SINCE"),
        _breaker_cells,
        breaker_condition,
        lambda row: (row.state, row.failures),
    ),
}


async def run_listing(connection: Connection, topic: str, *, json: bool, watch: bool) -> None:
    """Write the rows of a topic to standard output.

    Args:
        connection: which gateway.
        topic: key of `LAYOUTS`.
        json: whether to write JSON objects, with every change, instead of lines for people.
        watch: whether to go on with what changes.

    Raises:
        ConsoleError: there is nothing to show; after the first snapshot only a refusal ends a watch.
    """
    store = Store(ascii_only=plain_output())
    async with open_watch(connection, store, topics=[topic]) as stream:
        await _first_snapshot(stream, connection)
        rows: dict[str, Row] = dict(getattr(store.tables, topic))
        writer = JsonWriter() if json else LineWriter(LAYOUTS[topic], rows.values())
        for row in sorted(rows.values(), key=lambda row: (LAYOUTS[topic].condition(row).rank, row.key)):
            writer.row(row)
        while watch:
            await stream.news()
            _say_link(stream)
            known, rows = rows, dict(getattr(store.tables, topic))
            for key, row in rows.items():
                if row != known.get(key) and writer.is_news(known.get(key), row):
                    writer.row(row)
            for key in known.keys() - rows.keys():
                writer.gone(known[key])


def plain_output() -> bool:
    """Whether standard output takes ASCII only."""
    return not (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")


class JsonWriter:
    """One object per line."""

    def is_news(self, before: Row | None, row: Row) -> bool:
        """Every change is."""
        return True

    def row(self, row: Row) -> None:
        """Write a row."""
        print(jsonlib.dumps(row_fields(row), ensure_ascii=False), flush=True)

    def gone(self, row: Row) -> None:
        """Write that a row is gone."""
        print(jsonlib.dumps({row.KEY: row.key, "gone": True}, ensure_ascii=False), flush=True)


class LineWriter:
    """Aligned lines under a heading; the widths are those of the first rows."""

    def __init__(self, layout: Layout, rows: Any) -> None:
        self._layout = layout
        lines = [layout.cells(row) for row in rows]
        self._widths = [
            max([cell_len(heading.lstrip(">")), *(cell_len(line[index]) for line in lines)])
            for index, heading in enumerate(layout.headings)
        ]
        self._write([heading.lstrip(">") for heading in layout.headings])

    def is_news(self, before: Row | None, row: Row) -> bool:
        """Whether a person wants to read the row again."""
        return before is None or self._layout.notable(before) != self._layout.notable(row)

    def row(self, row: Row) -> None:
        """Write a row."""
        self._write(self._layout.cells(row))

    def gone(self, row: Row) -> None:
        """Write that a row is gone."""
        self._write(["GONE", *self._layout.cells(row)[1:]])

    def _write(self, cells: Sequence[str]) -> None:
        written = [
            fit(cell, max(width, cell_len(cell)), right=heading.startswith(">"))
            for cell, width, heading in zip(cells, self._widths, self._layout.headings, strict=True)
        ]
        print("  ".join(written).rstrip(), flush=True)


async def _first_snapshot(stream: Watch, connection: Connection) -> None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while not stream.store.ready:
                await stream.news()
                if stream.link.problem is not None and not stream.store.ready:
                    raise stream.link.problem
    except TimeoutError:
        raise Unreachable(connection.target, why=f"did not answer within {ANSWER_SECONDS:g} s") from None


def _say_link(stream: Watch) -> None:
    """Tell the person at the terminal that lines are missing; the lines themselves stay pure."""
    if stream.link.refusal is not None:
        raise stream.link.refusal
    if stream.link.problem is not None and stream.link.attempt == 1:
        print(f"agent-console: connection lost: {stream.link.problem.why}; trying again", file=sys.stderr, flush=True)
