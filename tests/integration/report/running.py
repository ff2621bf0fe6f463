"""The real room on a free port over a real database, meetings put into its tables, and clients of both kinds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from pydantic import SecretStr
from sqlalchemy import insert, update

from agent.common.v1 import report_pb2, transcript_pb2
from agent.report.v1 import report_service_pb2 as pb
from agent.report.v1 import report_service_pb2_grpc as pb_grpc
from kit.auth.authenticator import ApiKeys
from kit.auth.keys import KeyRing
from kit.blobs import BlobStore, open_blobs
from kit.db.engine import Database
from kit.ids import new_id
from kit.lifecycle import Shutdown
from kit.queue.queue import enqueue
from kit.queue.wake import notify
from kit.rpc.client import open_channel
from kit.rpc.status import RpcProblem, error_of
from services.report.app import open_report
from services.report.settings import ReportSettings
from services.report.wire import segment_message
from store.models import audio_sessions, coverage, meetings, participants, segments, tracks
from tests.postgres import fresh_database, whole
from tests.unit.report.interview import ENGLISH
from tests.unit.report.interview import segments as said_segments

USER_KEY, SERVICE_KEY = "user-key-of-the-tests", "service-key-of-the-tests"
SECONDS = 20.0
"""Bound of every wait."""
LENGTH_MS = 40_000
HELD_ON = datetime(2026, 11, 18, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RunningReport:
    """The room, its database and blob store, and stubs for a user and for another room."""

    database: Database
    blobs: BlobStore
    user: Any
    service: Any
    channel: grpc.aio.Channel
    user_channel: grpc.aio.Channel
    shutdown: Shutdown


@asynccontextmanager
async def running_report(root: Path, *, inline: bool = False, **settings: Any) -> AsyncIterator[RunningReport]:
    """Serve over an empty database; blobs lie below `root`."""
    shutdown = Shutdown()
    asked = ReportSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0", **settings)
    auth = ApiKeys(KeyRing((SecretStr(USER_KEY),), (SecretStr(SERVICE_KEY),)))
    async with (
        fresh_database() as database,
        open_blobs("local_fs", root / "blobs") as blobs,
        open_report(asked, database, blobs, auth, shutdown, inline=inline) as room,
        open_channel(room.server.address, api_key=USER_KEY) as user,
        open_channel(room.server.address, api_key=SERVICE_KEY) as service,
    ):
        user_stub, service_stub = pb_grpc.ReportServiceStub(user), pb_grpc.ReportServiceStub(service)
        yield RunningReport(database, blobs, user_stub, service_stub, service, user, shutdown)


async def hold_meeting(
    database: Database,
    said: Sequence[tuple[str, str]] = ENGLISH,
    *,
    state: str = "finished",
    tenant_id: str = "default",
) -> str:
    """Put a meeting with its text and coverage into the tables; returns its identifier."""
    meeting_id, session_id = new_id(), new_id()
    people = list(dict.fromkeys(who for who, _ in said))
    mine = {"meeting_id": meeting_id, "tenant_id": tenant_id}
    async with whole(database).begin() as connection:
        await connection.execute(
            insert(meetings).values(
                id=meeting_id,
                tenant_id=tenant_id,
                title="Interview",
                mode="realtime",
                state=state,
                start_time=HELD_ON,
                end_time=HELD_ON + timedelta(milliseconds=LENGTH_MS),
                duration_ms=LENGTH_MS,
                revision=1,
            )
        )
        await connection.execute(insert(audio_sessions).values(id=session_id, **mine))
        for number, who in enumerate(people, 1):
            track = {"number": number, "session_id": session_id, "participant_id": who.lower()}
            person = {"id": who.lower(), "display_name": who, "basis": "own_track"}
            await connection.execute(insert(participants).values(**mine, **person))
            await connection.execute(insert(tracks).values(**mine, **track))
            spans = (("transcribed", 0, 24_000), ("silent", 24_000, LENGTH_MS))
            for kind, start_ms, end_ms in spans:
                span = {"kind": kind, "start_ms": start_ms, "end_ms": end_ms, "participant_id": who.lower()}
                await connection.execute(insert(coverage).values(**mine, **span))
    await add_segments(database, meeting_id, session_id, people, said, tenant_id=tenant_id)
    return meeting_id


async def add_segments(
    database: Database,
    meeting_id: str,
    session_id: str,
    people: Sequence[str],
    said: Sequence[tuple[str, str]],
    *,
    tenant_id: str = "default",
) -> None:
    """Settle finals as speech recognition would."""
    async with whole(database).begin() as connection:
        for one in said_segments(said):
            await connection.execute(
                insert(segments).values(
                    id=f"{meeting_id}-{one.segment_id}",
                    meeting_id=meeting_id,
                    tenant_id=tenant_id,
                    ordinal=one.ordinal,
                    participant_id=one.participant_id,
                    session_id=session_id,
                    track_number=people.index(one.speaker) + 1,
                    start_sample=one.start_ms * 16,
                    end_sample=one.end_ms * 16,
                    start_ms=one.start_ms,
                    end_ms=one.end_ms,
                    text=one.text,
                    words=[],
                    language="en",
                    confidence=0.9,
                    engine="demo",
                    model="tiny-whisper",
                )
            )


def finals(meeting_id: str, said: Sequence[tuple[str, str]]) -> list[transcript_pb2.Segment]:
    """The same segments as they travel."""
    made = [segment_message(one, meeting_id) for one in said_segments(said)]
    for one in made:
        one.segment_id = f"{meeting_id}-{one.segment_id}"
    return made


async def order_build(database: Database, meeting_id: str, *, tenant_id: str = "default") -> str:
    """Enqueue what ingest enqueues when a meeting has ended; returns the job."""
    async with whole(database).begin() as connection:
        await connection.execute(update(meetings).where(meetings.c.id == meeting_id).values(report_state="queued"))
        payload = {"meeting_id": meeting_id, "tenant_id": tenant_id, "revision": 1}
        job_id = await enqueue(connection, "report", "build_report", payload, tenant_id=tenant_id, key=meeting_id)
    await notify(database, "report")
    return job_id


async def ready_report(stub: Any, meeting_id: str, *, revision: int = 1, **options: Any) -> report_pb2.Report:
    """Ask until the report of the revision is there."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                answer = await stub.GetReport(pb.GetReportRequest(meeting_id=meeting_id), **options)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise
            else:
                if answer.report.revision >= revision:
                    report: report_pb2.Report = answer.report
                    return report
            await asyncio.sleep(0.02)


async def problem_of(call: Any) -> RpcProblem:
    """How a call fails."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error_of(error)
    raise AssertionError("the call did not fail")
