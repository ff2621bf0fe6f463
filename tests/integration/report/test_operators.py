"""The room's queue as operators see and mend it over OpsService."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from agent.ops.v1 import ops_service_pb2 as ops
from agent.ops.v1 import ops_service_pb2_grpc as ops_grpc
from kit.db.engine import Database
from kit.queue.queue import enqueue
from tests.integration.report.running import RunningReport, problem_of, running_report
from tests.postgres import whole

SAID = "nobody may read this"


async def add(database: Database, count: int, state: str = "waiting") -> list[str]:
    """Put jobs in that no worker takes."""
    ids = []
    async with whole(database).begin() as connection:
        for _ in range(count):
            ids.append(await enqueue(connection, "report", "unheard_of", {"secret": SAID, "revision": 3}))
        await connection.execute(
            text("UPDATE jobs SET state = :state, last_error = 'GiveUp: no use' WHERE id = ANY(:ids)"),
            {"state": state, "ids": ids},
        )
    return ids


def operator(room: RunningReport) -> Any:
    return ops_grpc.OpsServiceStub(room.channel)


async def test_jobs_are_listed_newest_first_page_by_page_without_what_was_said(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        await add(room.database, 3)
        ids = await add(room.database, 5, "dead")
        stub, seen, token = operator(room), [], ""
        while True:
            request = ops.ListJobsRequest(queue="report", state="dead", page_size=2, page_token=token)
            page = await stub.ListJobs(request)
            seen += list(page.jobs)
            await add(room.database, 1, "dead")  # what comes meanwhile does not move the pages
            token = page.next_page_token
            if not token:
                break
        everything = await stub.ListJobs(ops.ListJobsRequest(queue="report"))
    assert [job.job_id for job in seen] == ids[::-1]
    assert {(job.state, job.kind, job.last_error) for job in seen} == {("dead", "unheard_of", "GiveUp: no use")}
    assert len(everything.jobs) == 11
    assert SAID not in str(everything)
    assert {job.payload for job in seen} == {'{"secret": "****", "revision": 3}'}


async def test_a_question_that_makes_no_sense_is_refused_by_its_field(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        await add(room.database, 2)
        stub = operator(room)
        token = (await stub.ListJobs(ops.ListJobsRequest(queue="report", page_size=1))).next_page_token
        for request, field in (
            (ops.ListJobsRequest(queue="report", state="lost"), "state"),
            (ops.ListJobsRequest(queue="report", page_size=-1), "page_size"),
            (ops.ListJobsRequest(queue="report", page_token="no token"), "page_token"),
            (ops.ListJobsRequest(queue="report", state="dead", page_token=token), "page_token"),
        ):
            problem = await problem_of(stub.ListJobs(request))
            assert (problem.code.name, problem.metadata["field"]) == ("INVALID_ARGUMENT", field)
        for rpc in ("RequeueJob", "DropJob"):
            request = getattr(ops, f"{rpc}Request")(job_id="j")
            assert (await problem_of(getattr(stub, rpc)(request))).metadata["field"] == "expected_state"
        unknown = await problem_of(stub.ListJobs(ops.ListJobsRequest(queue="ingest")))
        assert (unknown.code.name, unknown.metadata["queue"]) == ("NOT_FOUND", "ingest")


@pytest.mark.parametrize("rpc", ["RequeueJob", "DropJob"])
async def test_only_the_state_that_the_operator_saw_is_changed(tmp_path: Path, rpc: str) -> None:
    async with running_report(tmp_path) as room:
        (job_id,) = await add(room.database, 1, "waiting")
        call = getattr(operator(room), rpc)
        request = getattr(ops, f"{rpc}Request")
        changed = await problem_of(call(request(job_id=job_id, expected_state="dead")))
        assert (changed.code.name, changed.reason) == ("FAILED_PRECONDITION", "ERROR_REASON_STATE_CHANGED")
        assert changed.metadata == {"jobId": job_id, "expected": "dead", "actual": "waiting"}
        missing = await problem_of(call(request(job_id="nowhere", expected_state="dead")))
        assert (missing.code.name, missing.metadata["jobId"]) == ("NOT_FOUND", "nowhere")


async def test_mending_is_logged_with_its_reason_and_may_be_repeated(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        first, second = await add(room.database, 2, "dead")
        stub = operator(room)
        requeue = ops.RequeueJobRequest(
            job_id=first, expected_state="dead", reason="receiver is back", request_id="r-1"
        )
        drop = ops.DropJobRequest(job_id=second, expected_state="dead", reason="test data", request_id="r-1")
        with capture_logs() as lines:
            for _ in range(2):
                answer = await stub.RequeueJob(requeue)
                assert (answer.job.job_id, answer.job.state) == (first, "ready")
                await stub.DropJob(drop)
        left = await stub.ListJobs(ops.ListJobsRequest(queue="report"))
        assert [job.job_id for job in left.jobs] == [first]
    told = {line["event"]: line for line in lines if line["event"] in ("job_requeued", "job_dropped")}
    assert (told["job_requeued"]["reason"], told["job_requeued"]["job_id"]) == ("receiver is back", first)
    assert (told["job_dropped"]["reason"], told["job_dropped"]["job_id"]) == ("test data", second)
    assert told["job_dropped"]["subject"].startswith("service:")


async def test_users_mend_nothing(tmp_path: Path) -> None:
    async with running_report(tmp_path) as room:
        (job_id,) = await add(room.database, 1, "dead")
        stub: Any = ops_grpc.OpsServiceStub(room.user_channel)
        for call in (
            stub.ListJobs(ops.ListJobsRequest(queue="report")),
            stub.RequeueJob(ops.RequeueJobRequest(job_id=job_id, expected_state="dead")),
            stub.DropJob(ops.DropJobRequest(job_id=job_id, expected_state="dead")),
        ):
            assert (await problem_of(call)).reason == "ERROR_REASON_PERMISSION_DENIED"
