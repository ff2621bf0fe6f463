"""Putting jobs in, and what operators see and mend."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from kit.db.engine import Database
from kit.queue import claims
from kit.queue.cron import enqueue_slot
from kit.queue.errors import JobNotFound, JobStateChanged
from kit.queue.job import Job, QueueStats
from kit.queue.queue import drop, enqueue, get_job, list_jobs, read_stats, requeue
from kit.telemetry import trace_context
from kit.telemetry.trace_context import TraceContext
from tests.postgres import fresh_database, whole

QUEUE = "report"


async def add(database: Database, number: int = 0, **options: object) -> str:
    async with whole(database).begin() as connection:
        return await enqueue(connection, QUEUE, "build", {"number": number}, **options)  # type: ignore[arg-type]


async def claim(database: Database, limit: int = 10, worker: str = "w1", lease_seconds: float = 30) -> list[Job]:
    async with whole(database).begin() as connection:
        return await claims.claim(connection, QUEUE, ["build"], worker=worker, lease_seconds=lease_seconds, limit=limit)


async def complete(database: Database, job: Job) -> bool:
    async with whole(database).begin() as connection:
        return await claims.complete(connection, job)


async def bury(database: Database, job: Job) -> None:
    async with whole(database).begin() as connection:
        assert await claims.bury(connection, job, error="GiveUp: no use")


async def state_of(database: Database, job_id: str) -> str:
    async with whole(database).connect() as connection:
        return (await get_job(connection, job_id)).state


async def test_a_job_exists_only_if_the_change_that_it_follows_from_does() -> None:
    async with fresh_database() as database:
        async with whole(database).connect() as connection:
            await enqueue(connection, QUEUE, "build", {"number": 1})
            await connection.rollback()
        assert await claim(database) == []
        job_id = await add(database, 2, tenant_id="t1")
        (job,) = await claim(database)
        assert (job.id, job.kind, job.payload, job.tenant_id, job.attempts) == (job_id, "build", {"number": 2}, "t1", 1)


async def test_a_job_carries_the_trace_it_was_enqueued_in() -> None:
    async with fresh_database() as database:
        token = trace_context.move_to(TraceContext("a" * 32, "b" * 16))
        await add(database)
        trace_context.move_back(token)
        assert [job.trace_id for job in await claim(database)] == ["a" * 32]


async def test_a_job_is_claimed_once_however_many_ask() -> None:
    async with fresh_database() as database:
        for number in range(20):
            await add(database, number)
        claimed = await asyncio.gather(*(claim(database, limit=4, worker=f"w{n}") for n in range(8)))
        numbers = [job.payload["number"] for jobs in claimed for job in jobs]
        assert sorted(numbers) == list(range(20))


async def test_due_jobs_come_by_priority_then_age_and_later_ones_not_yet() -> None:
    async with fresh_database() as database:
        await add(database, 1)
        await add(database, 2, priority=5)
        await add(database, 3, run_at=datetime.now(UTC) + timedelta(hours=1))
        (first,) = await claim(database, limit=1)
        assert first.payload["number"] == 2
        assert [job.payload["number"] for job in await claim(database)] == [1]


async def test_other_kinds_are_left_for_workers_that_know_them() -> None:
    async with fresh_database() as database:
        async with whole(database).begin() as connection:
            await enqueue(connection, QUEUE, "unheard_of", {})
        assert await claim(database) == []


async def test_jobs_of_a_key_run_one_after_another_in_order() -> None:
    async with fresh_database() as database:
        for number in range(3):
            await add(database, number, key="m1")
        await add(database, 9, key="m2")
        order = []
        while jobs := await claim(database):
            numbers = [job.payload["number"] for job in jobs]
            assert len([number for number in numbers if number < 9]) <= 1
            order += [number for number in numbers if number < 9]
            for job in jobs:
                assert await complete(database, job)
        assert order == [0, 1, 2]


async def test_a_dead_job_lets_the_next_of_its_key_pass() -> None:
    async with fresh_database() as database:
        await add(database, 1, key="m1")
        await add(database, 2, key="m1")
        (job,) = await claim(database)
        await bury(database, job)
        assert [job.payload["number"] for job in await claim(database)] == [2]


async def test_producers_of_one_key_that_race_leave_one_head() -> None:
    async with fresh_database() as database:
        await asyncio.gather(*(add(database, number, key="m1") for number in range(8)))
        seen = 0
        while jobs := await claim(database):
            assert len(jobs) == 1
            await complete(database, jobs[0])
            seen += 1
        assert seen == 8


async def test_an_equal_job_is_not_added_while_one_is_unfinished() -> None:
    async with fresh_database() as database:
        ids = set(await asyncio.gather(*(add(database, dedupe="report:m1:1") for _ in range(6))))
        assert len(ids) == 1
        (job,) = await claim(database)
        assert await add(database, dedupe="report:m1:1") == job.id
        assert await complete(database, job)
        assert await add(database, dedupe="report:m1:1") != job.id


async def test_whoever_lost_the_lease_changes_nothing() -> None:
    async with fresh_database() as database:
        await add(database)
        (zombie,) = await claim(database, lease_seconds=0)
        async with whole(database).connect() as connection:
            (expired,) = await claims.find_expired(connection, QUEUE)
        async with whole(database).begin() as connection:
            assert await claims.expire(connection, expired) == "ready"
        (job,) = await claim(database, worker="w2")
        assert job.attempts == 2
        async with whole(database).begin() as connection:
            assert not await claims.complete(connection, zombie)
            assert await claims.fail(connection, zombie, rest_seconds=0, error="") is None
            assert not await claims.release(connection, zombie)
            assert await claims.extend(connection, [zombie], worker="w1", lease_seconds=30) == set()
            assert await claims.expire(connection, expired) is None
        assert await state_of(database, job.id) == "running"
        assert await complete(database, job)


async def test_a_worker_that_keeps_dying_uses_the_attempts_up() -> None:
    async with fresh_database() as database:
        job_id = await add(database, max_attempts=2)
        for state in ("ready", "dead"):
            await claim(database, lease_seconds=0)
            async with whole(database).connect() as connection:
                (expired,) = await claims.find_expired(connection, QUEUE)
            async with whole(database).begin() as connection:
                assert await claims.expire(connection, expired) == state
        async with whole(database).connect() as connection:
            assert (await get_job(connection, job_id)).last_error == "the worker was lost"


async def test_each_queue_is_counted_empty_ones_too() -> None:
    async with fresh_database() as database:
        await add(database, 1, key="m1")
        await add(database, 2, key="m1")
        await add(database, 3)
        await add(database, 4, run_at=datetime.now(UTC) - timedelta(seconds=100))
        dead, _running = await claim(database, limit=2)
        await bury(database, dead)
        async with whole(database).connect() as connection:
            report, other = await read_stats(connection, [QUEUE, "other"])
        assert (report.depth, report.pending, report.dead) == (2, 1, 1)
        assert report.oldest_age_seconds < 100
        assert other == QueueStats("other", 0, 0, 0, 0.0)


async def test_a_dead_job_gets_more_attempts_and_keeps_its_place() -> None:
    async with fresh_database() as database:
        for number in (1, 2, 3):
            await add(database, number, key="m1", max_attempts=1)
        (first,) = await claim(database)
        await bury(database, first)
        async with whole(database).begin() as connection:
            again = await requeue(connection, first.id)
        assert (again.state, again.max_attempts) == ("waiting", 9)
        (second,) = await claim(database)
        assert second.payload["number"] == 2
        await complete(database, second)
        assert [job.id for job in await claim(database)] == [first.id]


async def test_only_what_the_caller_saw_is_mended() -> None:
    async with fresh_database() as database:
        job_id = await add(database)
        for action in (requeue, drop):
            with pytest.raises(JobStateChanged):
                async with whole(database).begin() as connection:
                    await action(connection, job_id)
            with pytest.raises(JobNotFound):
                async with whole(database).begin() as connection:
                    await action(connection, "no-such-job")
        await claim(database)
        with pytest.raises(JobStateChanged):
            async with whole(database).begin() as connection:
                await drop(connection, job_id, expected_state="running")


async def test_a_dead_job_is_not_requeued_beside_an_equal_unfinished_one() -> None:
    async with fresh_database() as database:
        await add(database, dedupe="d")
        (job,) = await claim(database)
        await bury(database, job)
        await add(database, dedupe="d")
        with pytest.raises(JobStateChanged, match="equal job"):
            async with whole(database).begin() as connection:
                await requeue(connection, job.id)


async def test_dropping_the_head_of_a_key_lets_the_next_pass() -> None:
    async with fresh_database() as database:
        first = await add(database, 1, key="m1")
        await add(database, 2, key="m1")
        async with whole(database).begin() as connection:
            await drop(connection, first, expected_state="ready")
        assert [job.payload["number"] for job in await claim(database)] == [2]
        async with whole(database).connect() as connection:
            assert len(await list_jobs(connection, QUEUE)) == 1


async def test_jobs_are_listed_newest_first_page_by_page() -> None:
    async with fresh_database() as database:
        ids = [await add(database, number) for number in range(5)]
        await bury(database, (await claim(database, limit=1))[0])
        async with whole(database).connect() as connection:
            page = await list_jobs(connection, QUEUE, limit=2)
            rest = await list_jobs(connection, QUEUE, before=page[-1].sequence)
            dead = await list_jobs(connection, QUEUE, state="dead")
        assert [job.id for job in page + rest] == ids[::-1]
        assert [(job.id, job.last_error) for job in dead] == [(ids[0], "GiveUp: no use")]


async def test_old_done_jobs_are_forgotten_dead_ones_stay() -> None:
    async with fresh_database() as database:
        await add(database, 1)
        await add(database, 2)
        done, dead = await claim(database)
        await complete(database, done)
        await bury(database, dead)
        async with whole(database).begin() as connection:
            assert await claims.prune(connection, QUEUE, after_seconds=3600) == 0
            assert await claims.prune(connection, QUEUE, after_seconds=-1) == 1
            assert [job.id for job in await list_jobs(connection, QUEUE)] == [dead.id]


async def test_a_slot_makes_one_job_however_many_schedulers_race() -> None:
    async def schedule(hour: int) -> str | None:
        async with whole(database).begin() as connection:
            slot = datetime(2026, 1, 1, hour, tzinfo=UTC)
            return await enqueue_slot(connection, "retention", slot, QUEUE, "build", {})

    async with fresh_database() as database:
        made = await asyncio.gather(*(schedule(hour) for hour in (1, 2) for _ in range(5)))
        assert len([job for job in made if job is not None]) == 2
        for job in await claim(database):
            await complete(database, job)
        assert await schedule(1) is None
