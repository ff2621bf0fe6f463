"""Lines and JSON of what the gateway tells when it is asked: the audit trail, dead letters, who we are, live text."""

import asyncio
import json as jsonlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from google.protobuf.json_format import MessageToDict

from tui.clean import MAX_SPOKEN_CHARACTERS, clean
from tui.condition import Condition
from tui.connection import Connection
from tui.desk import open_desk
from tui.following import watch_meeting
from tui.listing import JsonWriter, Layout, LineWriter, plain_output
from tui.rows import AuditRow, JobRow
from tui.transcript import Line, Transcript

_WATCH_SECONDS = 2.0
_NEUTRAL = Condition(0, "idle", "text", "")

AUDIT = Layout(
    ("TIME", "OUTCOME", "SUBJECT", "METHOD", "ENDPOINT", "REASON"),
    lambda row: (row.time, row.outcome.upper(), row.subject, row.method, row.endpoint, row.reason),
    lambda row: _NEUTRAL,
    lambda row: row.sequence,
)
JOBS = Layout(
    ("STATE", "QUEUE", "JOB ID", "KIND", "KEY", ">TRIES", "CREATED", "LAST ERROR"),
    lambda row: (
        row.state.upper(),
        row.queue,
        row.job_id,
        row.kind,
        row.about,
        f"{row.attempts}/{row.max_attempts}",
        row.create_time,
        row.last_error,
    ),
    lambda row: _NEUTRAL,
    lambda row: (row.state, row.last_error),
)


async def run_audit(
    connection: Connection, *, json: bool, watch: bool, limit: int, outcome: str, subject: str, endpoint: str
) -> None:
    """Write the newest decisions about access, the oldest of them first, so that what is new stands below.

    Raises:
        ConsoleError: the gateway does not tell.
    """
    async with open_desk(connection, ascii_only=plain_output()) as desk:
        rows = await desk.audit(limit=limit, outcome=outcome, subject=subject, endpoint=endpoint)
        writer = JsonWriter() if json else LineWriter(AUDIT, rows)
        newest = _write_from(writer, rows, 0)
        while watch:
            await asyncio.sleep(_WATCH_SECONDS)
            rows = await desk.audit(limit=limit, outcome=outcome, subject=subject, endpoint=endpoint)
            newest = _write_from(writer, rows, newest)


async def run_dead_letters(connection: Connection, queue: str, *, json: bool) -> None:
    """Write the dead letters of a queue, of every queue if it is empty.

    Raises:
        ConsoleError: the gateway does not tell.
    """
    async with open_desk(connection, ascii_only=plain_output()) as desk:
        rows: list[JobRow] = []
        for name in [queue] if queue else await desk.queues_with_dead_letters():
            rows += await desk.jobs(name, "dead", limit=1000)
        writer = JsonWriter() if json else LineWriter(JOBS, rows)
        for row in rows:
            writer.row(row)


async def run_whoami(connection: Connection, *, json: bool) -> None:
    """Write who the gateway takes us for.

    Raises:
        ConsoleError: the gateway does not know us.
    """
    async with open_desk(connection, ascii_only=plain_output()) as desk:
        caller = await desk.whoami()
    if json:
        print(jsonlib.dumps(asdict(caller), ensure_ascii=False))
        return
    print(f"{caller.subject} is {'an operator' if caller.may_act else 'a viewer'} at {clean(connection.target)}")
    print(f"proved by {caller.auth_type}, acting for tenant {caller.tenant_id}, scopes {' '.join(caller.scopes)}")


async def run_tail(connection: Connection, meeting_id: str, *, json: bool) -> None:
    """Write what is said in a meeting, as it becomes final, until the meeting is over.

    Raises:
        ConsoleError: there is no such meeting for this caller, or the stream broke.
    """
    ascii_only = plain_output()
    transcript = Transcript(ascii_only=ascii_only)
    async with open_desk(connection, ascii_only=ascii_only) as desk:
        async for event in watch_meeting(desk, meeting_id):
            transcript.take(event)
            kind = event.WhichOneof("event")
            if json:
                if kind not in ("heartbeat", "interim"):
                    said = MessageToDict(event, preserving_proto_field_name=True)
                    print(jsonlib.dumps(_clean_tree(said, ascii_only=ascii_only), ensure_ascii=False), flush=True)
            elif kind == "segment" and transcript.lines:
                print(_spoken(transcript, transcript.lines[-1]), flush=True)
            elif kind == "warning" and transcript.warnings:
                print(f"--------  {[*transcript.warnings.values()][-1]}", flush=True)


def _spoken(transcript: Transcript, line: Line) -> str:
    return f"{transcript.at(line)}  {line.speaker}  {line.text}"


def _write_from(writer: JsonWriter | LineWriter, rows: Sequence[AuditRow], newest: int) -> int:
    for row in reversed(rows):
        if row.sequence > newest:
            writer.row(row)
            newest = row.sequence
    return newest


def _clean_tree(value: Any, *, ascii_only: bool) -> Any:
    if isinstance(value, str):
        return clean(value, ascii_only=ascii_only, limit=MAX_SPOKEN_CHARACTERS)
    if isinstance(value, dict):
        return {key: _clean_tree(one, ascii_only=ascii_only) for key, one in value.items()}
    if isinstance(value, list):
        return [_clean_tree(one, ascii_only=ascii_only) for one in value]
    return value
