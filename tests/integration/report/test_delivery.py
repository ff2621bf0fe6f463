"""A report on its way to a webhook: sent once, tried again where that can help, the same id at every attempt."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from agent.ops.v1 import ops_service_pb2 as ops
from agent.ops.v1 import ops_service_pb2_grpc as ops_grpc
from agent.report.v1 import report_service_pb2 as pb
from kit.db.engine import Database, open_database
from kit.queue.queue import list_jobs
from services.report.webhook import target_of
from store.models import deliveries, meetings
from tests.integration.report.receiver import SECRET, Receiver, running_receiver
from tests.integration.report.running import (
    SECONDS,
    SERVICE_KEY,
    RunningReport,
    hold_meeting,
    order_build,
    problem_of,
    ready_report,
    running_report,
)
from tests.kit_server import eventually
from tests.postgres import fresh_url, whole


def sending_to(receiver: Receiver, **settings: Any) -> dict[str, Any]:
    return {"webhook_url": receiver.url, "webhook_secret": SECRET, **settings}


async def delivery_of(room: RunningReport, meeting_id: str, state: str) -> pb.Delivery:
    """Wait until the meeting's delivery is in a state."""
    found: list[pb.Delivery] = []

    async def there() -> bool:
        listed = await room.user.ListDeliveries(pb.ListDeliveriesRequest(meeting_id=meeting_id))
        found[:] = listed.deliveries
        return [one.state for one in found] == [state]

    await eventually(there, SECONDS)
    return found[0]


async def jobs_of(database: Database, kind: str = "deliver") -> list[Any]:
    async with whole(database).connect() as connection:
        return [job for job in await list_jobs(connection, "report") if job.kind == kind]


async def test_a_ready_report_is_told_to_the_webhook_once(tmp_path: Path) -> None:
    async with running_receiver() as receiver, running_report(tmp_path, **sending_to(receiver)) as room:
        meeting_id = await hold_meeting(room.database)
        await order_build(room.database, meeting_id)
        delivery = await delivery_of(room, meeting_id, "sent")
        assert (delivery.channel, delivery.last_error, delivery.attempts, delivery.revision) == ("webhook", "", 1, 1)
        ((webhook_id, body),) = receiver.received
        assert webhook_id == delivery.delivery_id
        assert (body["type"], body["data"]["meeting_id"], body["data"]["revision"]) == ("report.ready", meeting_id, 1)
        assert body["data"]["report_url"] == f"http://127.0.0.1:8010/v1/meetings/{meeting_id}/report"
        totals = body["data"]["totals"]
        assert (totals["speakers"], totals["questions"], totals["duration_ms"]) == (2, 3, 40_000)
        assert totals["coverage_ms"]["transcribed"] == 48_000
        assert "report" not in body["data"]
        assert "quote" not in str(body)
        await room.user.RebuildReport(pb.RebuildReportRequest(meeting_id=meeting_id))

        async def rebuilt() -> bool:
            jobs = await jobs_of(room.database, "report")
            return len(jobs) == 2 and all(job.state == "done" for job in jobs)

        await eventually(rebuilt, SECONDS)
        assert [job.state for job in await jobs_of(room.database)] == ["done"]
        async with whole(room.database).connect() as connection:
            row = (await connection.execute(select(deliveries))).one()
        assert (row.state, row.attempts, row.revision) == ("sent", 1, 1)
        assert row.target == target_of(receiver.url)
        assert "token" not in row.target
    assert len(receiver.received) == 1


async def test_the_report_goes_with_it_if_the_operator_wants_so(tmp_path: Path) -> None:
    async with (
        running_receiver() as receiver,
        running_report(tmp_path, **sending_to(receiver, webhook_include_report=True)) as room,
    ):
        meeting_id = await hold_meeting(room.database)
        await order_build(room.database, meeting_id)
        await delivery_of(room, meeting_id, "sent")
    ((_, body),) = receiver.received
    assert body["data"]["report"]["meetingId"] == meeting_id


async def test_a_new_revision_is_told_anew(tmp_path: Path) -> None:
    async with running_receiver() as receiver, running_report(tmp_path, **sending_to(receiver)) as room:
        meeting_id = await hold_meeting(room.database)
        await order_build(room.database, meeting_id)
        await delivery_of(room, meeting_id, "sent")
        async with whole(room.database).begin() as connection:
            await connection.execute(update(meetings).values(revision=2))
        await room.user.RebuildReport(pb.RebuildReportRequest(meeting_id=meeting_id))
        await eventually(lambda: len(receiver.received) == 2, SECONDS)
    assert [body["data"]["revision"] for _, body in receiver.received] == [1, 2]
    assert len(set(receiver.ids)) == 2


async def test_an_error_that_may_pass_is_tried_again_with_the_same_id(tmp_path: Path) -> None:
    answers: list[tuple[int, dict[str, str]]] = [(500, {}), (503, {"retry-after": "0"}), (0, {}), (204, {})]
    async with (
        running_receiver(*answers) as receiver,
        running_report(tmp_path, **sending_to(receiver, webhook_timeout_seconds=0.5)) as room,
    ):
        meeting_id = await hold_meeting(room.database)
        await order_build(room.database, meeting_id)
        delivery = await delivery_of(room, meeting_id, "sent")
        assert receiver.ids == [delivery.delivery_id] * 4
        assert (await ready_report(room.user, meeting_id)).meeting_id == meeting_id


async def test_a_receiver_that_names_a_time_is_left_in_peace_and_it_costs_no_attempt(tmp_path: Path) -> None:
    async with (
        running_receiver((429, {"retry-after": "3600"})) as receiver,
        running_report(tmp_path, **sending_to(receiver)) as room,
    ):
        meeting_id = await hold_meeting(room.database)
        await order_build(room.database, meeting_id)

        async def resting() -> bool:
            jobs = await jobs_of(room.database)
            return [job.state for job in jobs] == ["ready"] and "429" in jobs[0].last_error

        await eventually(resting, SECONDS)
        (job,) = await jobs_of(room.database)
        assert 3500 < (job.run_at - job.create_time).total_seconds() < 3700
        assert job.max_attempts - job.attempts == 30
        delivery = await delivery_of(room, meeting_id, "queued")
        assert delivery.last_error == "DeliveryFailed: the receiver answered 429"
        assert len(receiver.received) == 1


async def test_a_refusal_is_a_dead_letter_that_an_operator_sends_again(tmp_path: Path) -> None:
    async with (
        running_receiver((400, {}), (200, {})) as receiver,
        running_report(tmp_path, **sending_to(receiver)) as room,
    ):
        meeting_id = await hold_meeting(room.database)
        await order_build(room.database, meeting_id)
        delivery = await delivery_of(room, meeting_id, "failed")
        assert delivery.last_error == "GiveUp: the receiver answered 400"
        assert (await ready_report(room.user, meeting_id)).revision == 1  # a ready report stays ready
        stub: Any = ops_grpc.OpsServiceStub(room.channel)
        (dead,) = (await stub.ListJobs(ops.ListJobsRequest(queue="report", state="dead"))).jobs
        assert (dead.kind, dead.last_error) == ("deliver", "GiveUp: the receiver answered 400")
        await stub.RequeueJob(ops.RequeueJobRequest(job_id=dead.job_id, expected_state="dead"))
        await delivery_of(room, meeting_id, "sent")
    assert receiver.ids == [delivery.delivery_id] * 2


async def test_redelivering_sends_again_with_the_same_id_once_per_request(tmp_path: Path) -> None:
    async with running_receiver() as receiver, running_report(tmp_path, **sending_to(receiver)) as room:
        meeting_id = await hold_meeting(room.database)
        await order_build(room.database, meeting_id)
        delivery = await delivery_of(room, meeting_id, "sent")
        request = pb.RedeliverRequest(delivery_id=delivery.delivery_id, request_id="r-1")
        answer = await room.service.Redeliver(request)
        assert (answer.delivery.delivery_id, answer.delivery.state) == (delivery.delivery_id, "queued")
        await eventually(lambda: len(receiver.received) == 2, SECONDS)
        await delivery_of(room, meeting_id, "sent")
        assert (await room.service.Redeliver(request)).delivery.state == "sent"
        assert len(await jobs_of(room.database)) == 2
        refused = await problem_of(room.user.Redeliver(request))
        assert refused.reason == "ERROR_REASON_PERMISSION_DENIED"
        unknown = await problem_of(room.service.Redeliver(pb.RedeliverRequest(delivery_id="nowhere")))
        assert (unknown.code.name, unknown.metadata["deliveryId"]) == ("NOT_FOUND", "nowhere")
        other = pb.RedeliverRequest(delivery_id="nowhere", request_id="r-1")
        assert (await problem_of(room.service.Redeliver(other))).reason == "ERROR_REASON_REQUEST_ID_REUSED"
    assert receiver.ids == [delivery.delivery_id] * 2


async def test_another_tenants_deliveries_do_not_exist(tmp_path: Path) -> None:
    async with running_receiver() as receiver, running_report(tmp_path, **sending_to(receiver)) as room:
        meeting_id = await hold_meeting(room.database, tenant_id="other")
        await order_build(room.database, meeting_id, tenant_id="other")
        await eventually(lambda: len(receiver.received) == 1, SECONDS)
        listing = await problem_of(room.user.ListDeliveries(pb.ListDeliveriesRequest(meeting_id=meeting_id)))
        assert listing.reason == "ERROR_REASON_MEETING_NOT_FOUND"
        sending = await problem_of(room.service.Redeliver(pb.RedeliverRequest(delivery_id=receiver.ids[0])))
        assert sending.code.name == "NOT_FOUND"


async def test_a_receiver_that_is_not_configured_any_more_gets_nothing(tmp_path: Path) -> None:
    async with running_receiver() as receiver, running_report(tmp_path, **sending_to(receiver)) as room:
        meeting_id = await hold_meeting(room.database)
        await order_build(room.database, meeting_id)
        delivery = await delivery_of(room, meeting_id, "sent")
        async with whole(room.database).begin() as connection:
            await connection.execute(update(deliveries).values(target="https://elsewhere.example#0"))
        await room.service.Redeliver(pb.RedeliverRequest(delivery_id=delivery.delivery_id))
        left = await delivery_of(room, meeting_id, "failed")
        assert left.last_error == "the receiver is not configured any more"
    assert len(receiver.received) == 1


async def test_a_room_that_is_killed_between_sending_and_writing_it_down_sends_the_same_id_again(
    tmp_path: Path,
) -> None:
    with fresh_url() as url:
        async with open_database(url) as database, running_receiver((0, {}), (200, {})) as receiver:
            meeting_id = await hold_meeting(database)
            environment = room_environment(url, tmp_path, receiver)
            first = await process(environment, tmp_path)
            try:
                await order_build(database, meeting_id)
                async with asyncio.timeout(SECONDS):
                    await receiver.arrived.wait()
            finally:
                first.send_signal(signal.SIGKILL)
                await first.wait()
            (job,) = await jobs_of(database)
            assert job.state == "running"
            async with whole(database).begin() as connection:  # instead of waiting half a minute for it to run out
                await connection.exec_driver_sql(
                    "UPDATE jobs SET lease_until = now() - interval '1 s' WHERE state = 'running'"
                )
            second = await process(environment, tmp_path)
            try:

                async def sent() -> bool:
                    async with whole(database).connect() as connection:
                        return list(await connection.scalars(select(deliveries.c.state))) == ["sent"]

                await eventually(sent, SECONDS)
            finally:
                second.send_signal(signal.SIGTERM)
                await second.wait()
            async with whole(database).connect() as connection:
                row = (await connection.execute(select(deliveries))).one()
            assert receiver.ids == [row.id] * 2
            assert (row.state, row.attempts) == ("sent", 2)
            assert [(job.kind, job.state) for job in await jobs_of(database)] == [("deliver", "done")]


async def test_no_log_line_shows_the_receivers_address(tmp_path: Path) -> None:
    with fresh_url() as url:
        async with open_database(url) as database, running_receiver((500, {}), (200, {})) as receiver:
            meeting_id = await hold_meeting(database)
            await order_build(database, meeting_id)
            environment = room_environment(url, tmp_path, receiver) | {"LOG_LEVEL": "debug"}
            room = await process(environment, tmp_path, output=asyncio.subprocess.PIPE)
            lines = asyncio.create_task(room.communicate())
            try:
                await eventually(lambda: len(receiver.received) == 2, SECONDS)
            finally:
                room.send_signal(signal.SIGTERM)
            written, _ = await lines
            assert b"job_failed" in written
            assert b"token" not in written


def room_environment(url: str, directory: Path, receiver: Receiver) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "DATABASE_URL": url,
        "AGENT_DATA_DIR": str(directory),
        "SERVICE_API_KEYS": SERVICE_KEY,
        "REPORT_LISTEN": "127.0.0.1:0",
        "REPORT_METRICS_LISTEN": "127.0.0.1:0",
        "REPORT_WEBHOOK_URL": receiver.url,
        "REPORT_WEBHOOK_SECRET": SECRET,
        "REPORT_WEBHOOK_TIMEOUT_SECONDS": "30",
    }


async def process(
    environment: dict[str, str], directory: Path, *, output: int = asyncio.subprocess.DEVNULL
) -> asyncio.subprocess.Process:
    """Start the room as a process."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.report", cwd=directory, env=environment, stdout=output
    )
