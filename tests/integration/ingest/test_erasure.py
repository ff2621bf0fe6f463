"""Erasure: a tombstone stays, and neither a word nor a name nor a sound; whoever was at work leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from sqlalchemy import text

from agent.ingest.v1 import audio_service_pb2 as pb
from agent.ingest.v1 import meeting_service_pb2 as mpb
from kit.auth.authenticator import ApiKeys
from kit.auth.keys import KeyRing
from kit.blobs import BlobStore, open_blobs
from kit.db.engine import Database, open_database
from kit.db.tenancy import within
from kit.lifecycle import Shutdown
from services.ingest.erasure.repository import ErasureRepository
from services.ingest.intake.session import MeetingKey
from services.report.app import open_report
from services.report.settings import ReportSettings
from tests.fakes.connector_server import Connector, serving_connector
from tests.integration.ingest.running import (
    SECONDS,
    Stubs,
    connected,
    finished,
    interview,
    refused,
    rest,
    running_ingest,
    segments,
    send,
    serving_ingest,
    start_meeting,
    until_durable,
)
from tests.kit_server import eventually
from tests.postgres import whole

NAMES = ("anna", "boris", "confidential interview")


@asynccontextmanager
async def running_report(url: str, root: Path) -> AsyncIterator[None]:
    settings = ReportSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0")
    async with (
        open_database(url) as database,
        open_blobs("local_fs", root / "blobs") as blobs,
        open_report(settings, database, blobs, ApiKeys(KeyRing((), ())), Shutdown()),
    ):
        yield


async def dump(database: Database) -> str:
    """Return every row of every table as text."""
    rows = []
    async with whole(database).connect() as connection:
        tables = await connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        for table in tables.all():
            found = await connection.scalars(text(f'SELECT row_to_json(t)::text FROM "{table}" t'))
            rows += [f"{table} {row}" for row in found]
    return "\n".join(rows)


def on_disk(root: Path) -> dict[str, bytes]:
    """Return every file below a directory."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def erase(client: Stubs, meeting_id: str, reason: str = "asked for") -> mpb.Tombstone:
    async with asyncio.timeout(SECONDS):
        request = mpb.DeleteMeetingRequest(meeting_id=meeting_id, reason=reason)
        response: mpb.DeleteMeetingResponse = await client.meetings.DeleteMeeting(request)
    return response.tombstone


async def blobs_gone(database: Database, meeting_id: str) -> None:
    """Wait until the job says that it is through."""
    repository = ErasureRepository(database)

    async def gone() -> bool:
        with within("default"):
            return (await repository.tombstone(MeetingKey("default", meeting_id))).blobs_gone_time is not None

    await eventually(gone, SECONDS)


async def keys(blobs: BlobStore) -> list[str]:
    return [blob.key async for blob in blobs.list()]


async def test_an_erased_meeting_leaves_neither_a_word_nor_a_name_nor_a_sound(
    database_url: str, tmp_path: Path
) -> None:
    async with running_ingest(database_url, tmp_path) as near, running_report(database_url, tmp_path):
        user, database = near.ingest.user, near.ingest.database
        meeting_id = await start_meeting(user, request_id="r-1")
        async with whole(database).begin() as connection:
            await connection.execute(text("UPDATE meetings SET title = 'Confidential interview'"))
        await send(user, meeting_id, interview().requests)
        await finished(user, meeting_id)
        words = {word for segment in await segments(user, meeting_id) for word in segment.text.split() if len(word) > 6}

        async def reported() -> bool:
            meeting = (await user.meetings.GetMeeting(mpb.GetMeetingRequest(meeting_id=meeting_id))).meeting
            return meeting.report_state == "ready" and not list(tmp_path.glob(f"journals/*/{meeting_id}"))

        await eventually(reported, SECONDS)
        before = await dump(database) + " ".join(map(repr, on_disk(tmp_path).values()))
        assert all(word in before for word in words)
        assert words
        assert all(name in before.lower() for name in NAMES)
        assert len(await keys(near.ingest.blobs)) > 10

        tombstone = await erase(user, meeting_id)
        assert tombstone.meeting_id == meeting_id
        assert tombstone.reason == "asked for"
        assert tombstone.erased_by.startswith("user")
        assert tombstone.HasField("erase_time")
        await blobs_gone(database, meeting_id)

        after = await dump(database)
        files = on_disk(tmp_path)
        for secret in (*words, *NAMES):
            assert secret not in after.lower()
            assert all(secret.encode() not in content.lower() for content in files.values())
        assert await keys(near.ingest.blobs) == []
        assert not [path for path in files if meeting_id in path]

        again = await erase(user, meeting_id, "asked for again")
        assert again == tombstone, "erasing twice is harmless"
        problem = await refused(user.meetings.GetMeeting(mpb.GetMeetingRequest(meeting_id=meeting_id)))
        assert (problem.code, problem.reason) == (grpc.StatusCode.NOT_FOUND, "ERROR_REASON_MEETING_ERASED")
        problem = await refused(user.meetings.GetAudio(mpb.GetAudioRequest(meeting_id=meeting_id)).read())
        assert problem.reason == "ERROR_REASON_MEETING_ERASED"
        problem = await refused(user.meetings.DeleteMeeting(mpb.DeleteMeetingRequest(meeting_id="never-was")))
        assert problem.reason == "ERROR_REASON_MEETING_NOT_FOUND"
        listed = await user.meetings.ListMeetings(mpb.ListMeetingsRequest())
        assert not listed.meetings


async def test_a_live_meeting_is_cut_off_first(database_url: str, tmp_path: Path) -> None:
    async with running_ingest(database_url, tmp_path) as near:
        user = near.ingest.user
        meeting_id = await start_meeting(user)
        script = interview().requests[:-3]
        async with connected(user, meeting_id, "s") as (call, _):
            for request in script:
                await call.write(request)
            await until_durable(call, len(script))
            assert list(tmp_path.glob(f"journals/*/{meeting_id}/*"))
            await erase(user, meeting_id)
            assert not list(tmp_path.glob(f"journals/*/{meeting_id}"))
            problem = await refused(rest(call))
            assert (problem.code, problem.reason) == (grpc.StatusCode.NOT_FOUND, "ERROR_REASON_MEETING_ERASED")
        opening = pb.SessionOpen(meeting_id=meeting_id, session_id="s", epoch=2)
        back = user.audio.StreamAudio()
        await back.write(pb.StreamAudioRequest(open=opening))
        problem = await refused(rest(back))
        assert (problem.code, problem.reason) == (grpc.StatusCode.NOT_FOUND, "ERROR_REASON_MEETING_NOT_FOUND")
        await blobs_gone(near.ingest.database, meeting_id)
        assert "anna" not in (await dump(near.ingest.database)).lower()
        assert not [path for path in on_disk(tmp_path) if meeting_id in path]


async def test_journals_on_the_disk_of_a_replica_that_was_away_go_when_it_comes_back(
    database_url: str, tmp_path: Path
) -> None:
    async with running_ingest(database_url, tmp_path / "one") as near:
        meeting_id = await start_meeting(near.ingest.user)
        script = interview().requests[:-3]
        await send(near.ingest.user, meeting_id, script)
        assert list((tmp_path / "one").glob(f"journals/*/{meeting_id}/*"))
    async with serving_ingest(database_url, tmp_path / "two") as other:
        await erase(other.user, meeting_id)
        await blobs_gone(other.database, meeting_id)
    assert list((tmp_path / "one").glob(f"journals/*/{meeting_id}/*"))
    async with running_ingest(database_url, tmp_path / "one"):
        await eventually(lambda: not list((tmp_path / "one").glob(f"journals/*/{meeting_id}")), seconds=SECONDS)


async def test_what_was_being_written_meanwhile_is_swept_up_later(database_url: str, tmp_path: Path) -> None:
    async with serving_ingest(database_url, tmp_path) as ingest:
        meeting_id = await start_meeting(ingest.user)
        await erase(ingest.user, meeting_id)
        await blobs_gone(ingest.database, meeting_id)
        late = f"tenants/default/meetings/{meeting_id}/artifacts/1/raw-0123456789abcdef.txt"
        await ingest.blobs.put(late, b"late words")
        async with whole(ingest.database).begin() as connection:
            moved = await connection.execute(
                text("UPDATE jobs SET run_at = now() WHERE kind = 'erase_blobs' AND state = 'ready' AND run_at > now()")
            )
            assert moved.rowcount == 1
        await eventually(lambda: not list(tmp_path.glob("blobs/tenants")), seconds=SECONDS)


async def test_waiting_work_on_an_erased_meeting_is_dropped(database_url: str, tmp_path: Path) -> None:
    async with serving_ingest(database_url, tmp_path) as ingest:
        meeting_id, other_id = await start_meeting(ingest.user), await start_meeting(ingest.user)
        for each in (meeting_id, other_id):
            await ingest.user.meetings.FinishMeeting(mpb.FinishMeetingRequest(meeting_id=each))
        await erase(ingest.user, meeting_id)
        async with whole(ingest.database).connect() as connection:
            left = (await connection.scalars(text("SELECT key FROM jobs WHERE queue = 'report'"))).all()
        assert list(left) == [other_id]


async def test_a_tenant_cannot_erase_what_is_not_its_own(database_url: str, tmp_path: Path) -> None:
    async with serving_ingest(database_url, tmp_path) as ingest:
        meeting_id = await start_meeting(ingest.user)
        async with whole(ingest.database).begin() as connection:
            await connection.execute(text("UPDATE meetings SET tenant_id = 'acme'"))
        problem = await refused(ingest.user.meetings.DeleteMeeting(mpb.DeleteMeetingRequest(meeting_id=meeting_id)))
        assert problem.reason == "ERROR_REASON_MEETING_NOT_FOUND"
        problem = await refused(ingest.user.meetings.GetMeeting(mpb.GetMeetingRequest(meeting_id=meeting_id)))
        assert problem.reason == "ERROR_REASON_MEETING_NOT_FOUND"


async def test_whoever_keeps_it_cuts_it_off_whichever_replica_is_asked(database_url: str, tmp_path: Path) -> None:
    async with (
        running_ingest(database_url, tmp_path / "one") as near,
        serving_ingest(database_url, tmp_path / "two") as other,
    ):
        user = near.ingest.user
        meeting_id = await start_meeting(user)
        script = interview().requests[:-3]
        async with connected(user, meeting_id, "s") as (call, _):
            for request in script:
                await call.write(request)
            await until_durable(call, len(script))
            tombstone = await erase(other.user, meeting_id)
            assert tombstone.erased_by.startswith("user"), "whoever asked, not the replica that passed it on"
            problem = await refused(rest(call))
            assert (problem.code, problem.reason) == (grpc.StatusCode.NOT_FOUND, "ERROR_REASON_MEETING_ERASED")
        assert not list((tmp_path / "one").glob(f"journals/*/{meeting_id}"))


async def test_the_recorder_leaves_a_call_that_is_erased(database_url: str, tmp_path: Path) -> None:
    connector = Connector()
    async with (
        serving_connector(connector) as port,
        serving_ingest(database_url, tmp_path, connector_port=port) as ingest,
    ):
        meeting_id = await start_meeting(ingest.user, auto_join_connector=True)
        await erase(ingest.user, meeting_id)
        assert connector.leaves == [meeting_id]
        await erase(ingest.user, meeting_id)
        assert connector.leaves == [meeting_id]
