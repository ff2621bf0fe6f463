"""The chain after a meeting: each step once, whatever is killed or comes late, in both modes of the queue."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, text, update

from agent.report.v1 import report_service_pb2 as pb
from kit.blobs import open_blobs
from kit.db.engine import Database, open_database
from kit.queue import claims
from kit.queue.errors import JobLost
from kit.queue.job import Job
from kit.queue.queue import enqueue, list_jobs
from services.report.repository import ENHANCE, QUEUE, REPORT, ReportRepository
from services.report.steps import Steps
from store.models import artifacts, meetings, reports
from tests.integration.report.receiver import SECRET, running_receiver
from tests.integration.report.running import (
    SECONDS,
    SERVICE_KEY,
    hold_meeting,
    order_build,
    problem_of,
    ready_report,
    running_report,
)
from tests.kit_server import eventually
from tests.postgres import fresh_database, fresh_url, whole

HOLD_REPORTS = (
    "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN NEW.run_at := now() + interval '1 day'; RETURN NEW; END $$",
    "CREATE TRIGGER hold BEFORE INSERT ON jobs FOR EACH ROW WHEN (NEW.kind = 'report') EXECUTE FUNCTION hold()",
)
WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'agent-report' AND wait_event_type = 'Lock'
"""
ABANDON = "UPDATE jobs SET lease_until = now() - interval '1 s' WHERE state = 'running'"
"""Instead of waiting half a minute for the lease of a killed worker to run out."""

MODES = pytest.mark.parametrize("inline", [False, True], ids=["postgres", "inline"])


async def all_jobs(database: Database) -> list[tuple[str, str]]:
    """Kinds and states in the order of enqueueing."""
    async with whole(database).connect() as connection:
        return [(job.kind, job.state) for job in reversed(await list_jobs(connection, QUEUE))]


async def take(database: Database, kind: str, *, lease_seconds: float = 30.0) -> Job:
    """Claim as a worker would."""
    async with whole(database).begin() as connection:
        (job,) = await claims.claim(connection, QUEUE, [kind], worker="w", lease_seconds=lease_seconds, limit=1)
    return job


async def stored(database: Database) -> list[Any]:
    """Everything that steps store, as it stands."""
    async with whole(database).connect() as connection:
        rows = [tuple(row) for row in await connection.execute(select(reports))]
        rows += [tuple(row) for row in await connection.execute(select(artifacts).order_by(artifacts.c.blob_key))]
        rows += list(await connection.scalars(select(meetings.c.report_state)))
    return rows


@MODES
async def test_the_chain_is_the_same_in_both_modes(tmp_path: Path, inline: bool) -> None:
    async with (
        running_receiver() as receiver,
        running_report(tmp_path, inline=inline, webhook_url=receiver.url, webhook_secret=SECRET) as room,
    ):
        meeting_id = await hold_meeting(room.database)
        await order_build(room.database, meeting_id)
        report = await ready_report(room.user, meeting_id)
        assert report.headline == "40 s, 2 speakers, Ben spoke 56 %, 3 questions, 3 commitments, 2 requests"
        await eventually(lambda: len(receiver.received) == 1, SECONDS)

        async def over() -> bool:
            return [state for _, state in await all_jobs(room.database)] == ["done"] * 3

        await eventually(over, SECONDS)
        assert [kind for kind, _ in await all_jobs(room.database)] == ["build_report", "report", "deliver"]
        async with whole(room.database).connect() as connection:
            assert await connection.scalar(select(func.count()).select_from(artifacts)) == 13
            assert await connection.scalar(select(meetings.c.report_state)) == "ready"


async def test_inline_a_rebuild_answers_when_everything_is_done(tmp_path: Path) -> None:
    async with running_report(tmp_path, inline=True) as room:
        meeting_id = await hold_meeting(room.database)
        answer = await room.user.RebuildReport(pb.RebuildReportRequest(meeting_id=meeting_id), timeout=SECONDS)
        assert answer.job_id
        assert await all_jobs(room.database) == [("build_report", "done"), ("report", "done")]
        await room.user.GetReport(pb.GetReportRequest(meeting_id=meeting_id))


async def test_the_clean_transcript_is_there_before_the_report(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        meeting_id = await hold_meeting(room.database)
        async with whole(room.database).mend() as connection:
            for statement in HOLD_REPORTS:
                await connection.execute(text(statement))
        await order_build(room.database, meeting_id)

        async def enhanced() -> bool:
            return await all_jobs(room.database) == [("build_report", "done"), ("report", "ready")]

        await eventually(enhanced, SECONDS)
        request = pb.GetArtifactRequest(meeting_id=meeting_id, kind="clean")
        assert "Ben: " in (await room.user.GetArtifact(request)).body.data.decode()
        for call in (
            room.user.GetReport(pb.GetReportRequest(meeting_id=meeting_id)),
            room.user.GetReportText(pb.GetReportTextRequest(meeting_id=meeting_id)),
        ):
            problem = await problem_of(call)
            assert (problem.reason, problem.metadata["state"]) == ("ERROR_REASON_REPORT_NOT_READY", "queued")


@pytest.mark.usefixtures("every_tenant")
async def test_a_worker_that_comes_late_changes_nothing(tmp_path: Path) -> None:
    async with fresh_database() as database, open_blobs("local_fs", tmp_path) as blobs:
        meeting_id = await hold_meeting(database)
        await order_build(database, meeting_id)
        steps = Steps(ReportRepository(database, UTC), blobs, {})
        for kind in (ENHANCE, REPORT):
            zombie = await take(database, kind, lease_seconds=0)
            async with whole(database).begin() as connection:
                assert await claims.expire(connection, zombie) == "ready"
            job = await take(database, kind)
            await steps.handlers[kind](job)
            before, files = await stored(database), {blob.key async for blob in blobs.list()}
            with pytest.raises(JobLost):
                await steps.handlers[kind](zombie)
            assert await stored(database) == before
            assert {blob.key async for blob in blobs.list()} == files
        assert await all_jobs(database) == [("build_report", "done"), ("report", "done")]


@pytest.mark.usefixtures("every_tenant")
async def test_a_step_for_a_text_that_has_changed_begins_anew(tmp_path: Path) -> None:
    async with fresh_database() as database, open_blobs("local_fs", tmp_path) as blobs:
        meeting_id = await hold_meeting(database)
        await order_build(database, meeting_id)
        steps = Steps(ReportRepository(database, UTC), blobs, {})
        await steps.enhance(await take(database, ENHANCE))
        async with whole(database).begin() as connection:
            await connection.execute(update(meetings).values(revision=2))
        await steps.report(await take(database, REPORT))
        assert await all_jobs(database) == [("build_report", "done"), ("report", "done"), ("build_report", "ready")]
        await steps.enhance(await take(database, ENHANCE))
        await steps.report(await take(database, REPORT))
        async with whole(database).connect() as connection:
            assert list(await connection.scalars(select(reports.c.revision))) == [2]
            assert await connection.scalar(select(meetings.c.report_state)) == "ready"
            rows = set(await connection.scalars(select(artifacts.c.blob_key)))
        assert rows == {blob.key async for blob in blobs.list()}


@pytest.mark.usefixtures("every_tenant")
async def test_a_meeting_erased_between_two_steps_leaves_no_file(tmp_path: Path) -> None:
    async with fresh_database() as database, open_blobs("local_fs", tmp_path) as blobs:
        meeting_id = await hold_meeting(database)
        await order_build(database, meeting_id)
        steps = Steps(ReportRepository(database, UTC), blobs, {})
        await steps.enhance(await take(database, ENHANCE))
        assert [blob.key async for blob in blobs.list("tenants")]
        async with whole(database).begin() as connection:
            await connection.execute(delete(meetings))
        await steps.report(await take(database, REPORT))
        assert [blob.key async for blob in blobs.list("tenants")] == []
        assert await all_jobs(database) == [("build_report", "done"), ("report", "done")]


async def test_a_report_whose_workers_all_died_is_called_failed_until_it_is_requeued(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        meeting_id = await hold_meeting(room.database)
        async with whole(room.database).begin() as connection:
            await connection.execute(update(meetings).values(report_state="queued"))
            payload = {"meeting_id": meeting_id, "tenant_id": "default", "revision": 1}
            await enqueue(connection, QUEUE, ENHANCE, payload, key=meeting_id, max_attempts=1)
            running = "state = 'running', attempts = 1, worker = 'x', lease_until = now() - interval '1 s'"
            await connection.execute(text(f"UPDATE jobs SET {running}"))

        async def failed() -> bool:
            async with whole(room.database).connect() as connection:
                return await connection.scalar(select(meetings.c.report_state)) == "failed"

        await eventually(failed, SECONDS)
        await room.user.RebuildReport(pb.RebuildReportRequest(meeting_id=meeting_id))
        assert (await ready_report(room.user, meeting_id)).revision == 1


@MODES
@pytest.mark.parametrize("step", [ENHANCE, REPORT])
async def test_a_room_killed_in_the_middle_of_a_step_leaves_it_to_the_next_start(
    tmp_path: Path, step: str, inline: bool
) -> None:
    with fresh_url() as url:
        async with open_database(url) as database:
            meeting_id = await hold_meeting(database)
            await order_build(database, meeting_id)
            environment = {
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(sys.path),
                "DATABASE_URL": url,
                "AGENT_DATA_DIR": str(tmp_path),
                "SERVICE_API_KEYS": SERVICE_KEY,
                "REPORT_LISTEN": "127.0.0.1:0",
                "REPORT_METRICS_LISTEN": "127.0.0.1:0",
                "QUEUE_MODE": "inline" if inline else "postgres",
            }
            # Held here, a step has made its files and cannot store them.
            async with whole(database).begin() as holder:
                if step == REPORT:
                    await holder.execute(text("LOCK TABLE reports IN ACCESS EXCLUSIVE MODE"))
                else:
                    await holder.execute(select(meetings.c.id).with_for_update())
                room = await process(environment, tmp_path)
                try:

                    async def stuck() -> bool:
                        async with whole(database).mend() as connection:
                            return bool(await connection.scalar(text(WAITING)))

                    await eventually(stuck, SECONDS)
                finally:
                    room.send_signal(signal.SIGKILL)
                    await room.wait()
            assert (step, "running") in await all_jobs(database)
            async with whole(database).begin() as connection:
                await connection.execute(text(ABANDON))
            room = await process(environment, tmp_path)
            try:

                async def ready() -> bool:
                    async with whole(database).connect() as connection:
                        return await connection.scalar(select(meetings.c.report_state)) == "ready"

                await eventually(ready, SECONDS)
            finally:
                room.send_signal(signal.SIGTERM)
                await room.wait()
            assert await all_jobs(database) == [("build_report", "done"), ("report", "done")]
            async with whole(database).connect() as connection:
                assert await connection.scalar(select(func.count()).select_from(reports)) == 1
                assert await connection.scalar(select(func.count()).select_from(artifacts)) == 13


async def process(environment: dict[str, str], directory: Path) -> asyncio.subprocess.Process:
    """Start the room as a process."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.report", cwd=directory, env=environment, stdout=asyncio.subprocess.DEVNULL
    )
