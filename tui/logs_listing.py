"""Lines and JSON of the mesh's log, from before and, when asked for, as they are written."""

import json as jsonlib
import sys
from collections.abc import Sequence

from rich.cells import cell_len

from tui.connection import Connection
from tui.desk import open_desk
from tui.errors import Unreachable
from tui.listing import plain_output
from tui.logs import LogLines, LogRow
from tui.logs_following import tail_logs
from tui.widgets.runs import fit

_LEVEL_CELLS = 7
_ROOM_CELLS = 9


async def run_logs(
    connection: Connection, *, level: str, rooms: Sequence[str], contains: str, lines: int, json: bool, follow: bool
) -> None:
    """Write log lines, oldest first.

    Args:
        connection: which gateway.
        level: least level; every one if empty.
        rooms: whose; all if empty.
        contains: text that a line has in it.
        lines: number of lines from before, of all rooms together.
        json: whether to write JSON objects instead of lines for people.
        follow: whether to go on with what is new.

    Raises:
        ConsoleError: the gateway does not tell, or a room that was named is away.
    """
    known, before, backlog_over = LogLines(ascii_only=plain_output()), list[LogRow](), False
    async with open_desk(connection, ascii_only=plain_output()) as desk:
        async for answer in tail_logs(desk, min_level=level, contains=contains, backlog=lines, rooms=rooms):
            away = dict(known.away)
            fresh = known.take(answer)
            _say(away, known.away, answer.dropped)
            if backlog_over:
                _write(fresh, json=json)
                continue
            before += fresh
            backlog_over = not answer.lines and not answer.away  # then the stream only says that it lives
            if backlog_over:
                _write(sorted(before, key=lambda row: row.time_ns)[-lines:], json=json)
                if not follow:
                    break
    if missing := [f"{room} {known.away[room]}" for room in rooms if room in known.away]:
        raise Unreachable.room(f"Lines are missing: {', '.join(missing)}.")


def _write(rows: Sequence[LogRow], *, json: bool) -> None:
    for row in rows:
        print(_object(row) if json else _line(row), flush=True)


def _line(row: LogRow) -> str:
    room = fit(row.room, max(_ROOM_CELLS, cell_len(row.room)))
    text = f"{row.moment}  {fit(row.level.upper(), _LEVEL_CELLS)}  {room}  {row.message}  {row.details}"
    return text.rstrip() + (f"  trace_id={row.trace_id}" if row.trace_id else "")


def _object(row: LogRow) -> str:
    told = {
        "time": row.moment,
        "level": row.level,
        "room": row.room,
        "pid": row.pid,
        "message": row.message,
        "fields": dict(row.fields),
        "trace_id": row.trace_id,
    }
    return jsonlib.dumps(told, ensure_ascii=False)


def _say(before: dict[str, str], now: dict[str, str], dropped: int) -> None:
    """Tell the person at the terminal that lines are missing; the lines themselves stay pure."""
    for room in now.keys() - before.keys():
        print(f"agent-console: {room}: {now[room]}", file=sys.stderr, flush=True)
    for room in before.keys() - now.keys():
        print(f"agent-console: {room}: is back", file=sys.stderr, flush=True)
    if dropped:
        print(f"agent-console: {dropped} lines came too fast and are missing", file=sys.stderr, flush=True)
