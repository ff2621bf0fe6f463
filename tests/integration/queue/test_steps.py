"""Jobs that follow from jobs: finished with their result in one transaction, told of their death, done in one go."""

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db.engine import Database
from kit.queue import claims
from kit.queue.backoff import Backoff
from kit.queue.errors import GiveUp, JobLost
from kit.queue.job import Job
from kit.queue.queue import enqueue, get_job
from kit.queue.worker import open_worker
from tests.integration.queue.test_worker import eventually, job_of, reaches
from tests.postgres import fresh_database, whole

QUEUE = "report"
AT_ONCE = Backoff(first_seconds=0.001, longest_seconds=0.01)


async def add(database: Database, kind: str = "first", **options: object) -> str:
    async with whole(database).begin() as connection:
        return await enqueue(connection, QUEUE, kind, {}, **options)  # type: ignore[arg-type]


async def prepare(database: Database) -> None:
    async with whole(database).mend() as connection:
        await connection.execute(text("CREATE TABLE results (job text, attempt integer)"))


async def results(database: Database) -> list[tuple[str, int]]:
    async with whole(database).connect() as connection:
        return [(row.job, row.attempt) for row in await connection.execute(text("SELECT * FROM results ORDER BY 1"))]


async def store(connection: AsyncConnection, job: Job) -> None:
    await connection.execute(
        text("INSERT INTO results VALUES (:kind, :attempt)"), {"kind": job.kind, "attempt": job.attempts}
    )


class Chain:
    """Three kinds of step; each stores a result, is finished and enqueues the next in one transaction."""

    KINDS = ("first", "second", "third")

    def __init__(self, database: Database) -> None:
        self.database = database
        self.handlers = dict.fromkeys(self.KINDS, self.step)

    async def step(self, job: Job) -> Sequence[str]:
        following = self.KINDS[self.KINDS.index(job.kind) + 1 :][:1]
        async with whole(self.database).begin() as connection:
            await store(connection, job)
            await claims.finish(connection, job)
            return [await enqueue(connection, QUEUE, kind, {}, key=job.key) for kind in following]


async def test_a_step_is_finished_with_its_result_and_the_next_follows() -> None:
    async with fresh_database(connections=12) as database:
        await prepare(database)
        chain = Chain(database)
        async with open_worker(database, QUEUE, chain.handlers, lease_seconds=0.3, poll_seconds=0.05):
            job_id = await add(database, key="m1")

            async def all_done() -> bool:
                return len(await results(database)) == 3

            await eventually(all_done)
            assert (await job_of(database, job_id)).state == "done"
        assert await results(database) == [("first", 1), ("second", 1), ("third", 1)]


async def test_a_worker_that_lost_its_job_stores_nothing() -> None:
    async with fresh_database() as database:
        await prepare(database)
        await add(database, key="m1")
        async with whole(database).begin() as connection:
            (zombie,) = await claims.claim(connection, QUEUE, ["first"], worker="w1", lease_seconds=0, limit=1)
        async with whole(database).begin() as connection:
            assert await claims.expire(connection, zombie) == "ready"
        chain = Chain(database)
        with pytest.raises(JobLost):
            await chain.step(zombie)
        assert await results(database) == []
        async with open_worker(database, QUEUE, {"first": chain.step}, poll_seconds=0.05):
            await reaches(database, zombie.id, "done")
        assert await results(database) == [("first", 2)]
        with pytest.raises(JobLost):
            await chain.step(zombie)
        assert await results(database) == [("first", 2)]


async def test_a_handler_that_finished_its_job_is_not_called_lost_however_long_it_goes_on() -> None:
    async with fresh_database() as database:
        ended = asyncio.Event()

        async def build(job: Job) -> None:
            async with whole(database).begin() as connection:
                await claims.finish(connection, job)
            await asyncio.sleep(0.5)
            ended.set()

        async with open_worker(database, QUEUE, {"first": build}, lease_seconds=0.15, poll_seconds=0.05):
            job_id = await add(database)
            await asyncio.wait_for(ended.wait(), 20)
            await reaches(database, job_id, "done")


@pytest.mark.parametrize(("error", "attempts"), [(GiveUp("no use"), 1), (RuntimeError("again"), 2)])
async def test_a_death_is_written_down_with_the_job(error: Exception, attempts: int) -> None:
    async with fresh_database() as database:
        await prepare(database)

        async def build(job: Job) -> None:
            raise error

        async def on_dead(connection: AsyncConnection, job: Job, last_error: str) -> None:
            assert type(error).__name__ in last_error
            await store(connection, job)

        worker = open_worker(database, QUEUE, {"first": build}, poll_seconds=0.05, backoff=AT_ONCE, on_dead=on_dead)
        async with worker:
            await reaches(database, await add(database, max_attempts=2), "dead")
        assert await results(database) == [("first", attempts)]


async def test_the_death_of_a_job_whose_workers_die_is_written_down_too() -> None:
    async with fresh_database() as database:
        await prepare(database)
        job_id = await add(database, max_attempts=1)
        async with whole(database).begin() as connection:
            await claims.claim(connection, QUEUE, ["first"], worker="gone", lease_seconds=0, limit=1)

        async def on_dead(connection: AsyncConnection, job: Job, last_error: str) -> None:
            assert last_error == "the worker was lost"
            await store(connection, job)

        async with open_worker(database, QUEUE, {}, lease_seconds=0.3, on_dead=on_dead):
            await reaches(database, job_id, "dead")
        assert await results(database) == [("first", 1)]


async def test_a_burial_that_fails_leaves_the_job_dead_all_the_same() -> None:
    async with fresh_database() as database:

        async def build(job: Job) -> None:
            raise GiveUp("no use")

        async def on_dead(connection: AsyncConnection, job: Job, last_error: str) -> None:
            await connection.execute(text("SELECT 1 / 0"))

        async with open_worker(database, QUEUE, {"first": build}, poll_seconds=0.05, on_dead=on_dead):
            await reaches(database, await add(database), "dead")


async def test_an_inline_worker_runs_a_job_and_all_that_follows_before_it_returns() -> None:
    async with fresh_database(connections=12) as database:
        await prepare(database)
        chain = Chain(database)
        async with open_worker(database, QUEUE, chain.handlers, poll_seconds=60, inline=True) as worker:
            job_id = await add(database, key="m1")
            assert await worker.run_through(job_id)
            assert await results(database) == [("first", 1), ("second", 1), ("third", 1)]
            assert not await worker.run_through(job_id)  # it is done


async def test_steps_that_an_inline_worker_left_behind_are_done_by_the_next_one() -> None:
    async with fresh_database(connections=12) as database:
        await prepare(database)
        chain = Chain(database)
        async with whole(database).begin() as connection:
            await enqueue(connection, QUEUE, "second", {}, key="m1")
            await claims.claim(connection, QUEUE, ["second"], worker="killed", lease_seconds=0, limit=1)
        async with open_worker(database, QUEUE, chain.handlers, lease_seconds=0.3, poll_seconds=0.05, inline=True):

            async def all_done() -> bool:
                return len(await results(database)) == 2

            await eventually(all_done)
        assert await results(database) == [("second", 2), ("third", 1)]


async def test_a_caller_that_stops_waiting_stops_nothing() -> None:
    async with fresh_database(connections=12) as database:
        go = asyncio.Event()

        async def build(job: Job) -> None:
            await go.wait()

        async with open_worker(database, QUEUE, {"first": build}, poll_seconds=60, inline=True) as worker:
            job_id = await add(database)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await worker.run_through(job_id)
            async with whole(database).connect() as connection:
                assert (await get_job(connection, job_id)).state == "running"
            go.set()
            await reaches(database, job_id, "done")
