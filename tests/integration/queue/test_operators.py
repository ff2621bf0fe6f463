"""What operators do to jobs through any room: orders that bear repetition and say what stands in their way."""

import asyncio

import pytest

from kit.db.engine import Database
from kit.ops.sources import JobOrder
from kit.queue import claims
from kit.queue.errors import JobNotFound, JobStateChanged, QueueNotFound, RequestIdReused
from kit.queue.operators import RoomQueues
from kit.queue.queue import enqueue, get_job
from store.answers import Answers
from tests.postgres import fresh_database, whole


async def add_dead(database: Database, queue: str = "report", key: str | None = None) -> str:
    async with whole(database).begin() as connection:
        job_id = await enqueue(connection, queue, "build", {"secret": "s"}, key=key)
        (job,) = await claims.claim(connection, queue, ["build"], worker="w", lease_seconds=30, limit=1)
        assert await claims.bury(connection, job, error="GiveUp: no use")
    return job_id


def queues_of(database: Database) -> RoomQueues:
    return RoomQueues(database, ["report"], Answers())


async def test_a_repeated_requeue_gives_attempts_once() -> None:
    async with fresh_database() as database:
        queues, job_id = queues_of(database), await add_dead(database, key="m1")
        order = JobOrder(job_id, "dead", "r-1")
        jobs = await asyncio.gather(*(queues.requeue(order) for _ in range(4)))
        assert {(job.state, job.max_attempts) for job in jobs} == {("ready", 9)}
        with pytest.raises(JobStateChanged) as caught:
            await queues.requeue(JobOrder(job_id, "dead", "r-2"))
        assert caught.value.metadata == {"jobId": job_id, "expected": "dead", "actual": "ready"}


async def test_a_repeated_drop_is_harmless_and_its_request_id_is_the_jobs() -> None:
    async with fresh_database() as database:
        queues, job_id, other = queues_of(database), await add_dead(database), await add_dead(database)
        dropped = await queues.drop(JobOrder(job_id, "dead", "r-1"))
        assert dropped is not None
        assert dropped.id == job_id
        assert await queues.drop(JobOrder(job_id, "dead", "r-1")) is None
        with pytest.raises(RequestIdReused):
            await queues.drop(JobOrder(other, "dead", "r-1"))
        with pytest.raises(JobNotFound):
            await queues.drop(JobOrder(job_id, "dead", "r-2"))
        async with whole(database).connect() as connection:
            assert (await get_job(connection, other)).state == "dead"


async def test_an_order_that_was_refused_may_be_given_again_with_its_request_id() -> None:
    async with fresh_database() as database:
        queues, job_id = queues_of(database), await add_dead(database)
        with pytest.raises(JobStateChanged):
            await queues.drop(JobOrder(job_id, "ready", "r-1"))
        assert await queues.drop(JobOrder(job_id, "dead", "r-1")) is not None


async def test_other_rooms_queues_are_not_this_rooms() -> None:
    async with fresh_database() as database:
        queues, job_id = queues_of(database), await add_dead(database, queue="ingest")
        for action in (queues.requeue, queues.drop):
            with pytest.raises(JobNotFound):
                await action(JobOrder(job_id, "dead"))
        with pytest.raises(QueueNotFound):
            await queues.page("ingest", "", None, 10)
