"""A worker over a real database: success, failure, loss, order, shutdown."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text

from kit.db.engine import Database
from kit.errors import Unavailable
from kit.queue import claims
from kit.queue.backoff import Backoff
from kit.queue.errors import GiveUp, Postpone
from kit.queue.job import Job
from kit.queue.queue import enqueue, get_job, requeue
from kit.queue.wake import notify
from kit.queue.worker import open_worker
from kit.telemetry import trace_context
from tests.postgres import fresh_database, whole

QUEUE = "report"
AT_ONCE = Backoff(first_seconds=0.001, longest_seconds=0.01)


async def add(database: Database, number: int = 0, **options: object) -> str:
    async with whole(database).begin() as connection:
        return await enqueue(connection, QUEUE, "build", {"number": number}, **options)  # type: ignore[arg-type]


async def job_of(database: Database, job_id: str) -> Job:
    async with whole(database).connect() as connection:
        return await get_job(connection, job_id)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - the database does not call
            await asyncio.sleep(0.01)


async def reaches(database: Database, job_id: str, state: str) -> None:
    async def there() -> bool:
        return (await job_of(database, job_id)).state == state

    await eventually(there)


async def test_jobs_are_done_in_the_order_of_their_key_and_only_once() -> None:
    done: list[tuple[str, int]] = []
    active: set[str] = set()

    async def build(job: Job) -> None:
        assert job.key is not None
        assert job.key not in active
        active.add(job.key)
        await asyncio.sleep(0)
        done.append((job.key, job.payload["number"]))
        active.discard(job.key)

    async with fresh_database(connections=12) as database:
        for number in range(10):
            for key in ("a", "b", "c"):
                await add(database, number, key=key)
        async with (
            open_worker(database, QUEUE, {"build": build}, concurrency=3, poll_seconds=0.05),
            open_worker(database, QUEUE, {"build": build}, concurrency=3, poll_seconds=0.05),
        ):
            await eventually(lambda: asyncio.sleep(0, len(done) >= 30))
    for key in ("a", "b", "c"):
        assert [number for name, number in done if name == key] == list(range(10))


async def test_a_failed_job_is_tried_again_until_it_works() -> None:
    async def build(job: Job) -> None:
        if job.attempts < 3:
            raise Unavailable("no answer")

    async with fresh_database() as database:
        job_id = await add(database)
        async with open_worker(database, QUEUE, {"build": build}, backoff=AT_ONCE, poll_seconds=0.02):
            await reaches(database, job_id, "done")
        assert (await job_of(database, job_id)).attempts == 3


async def test_an_error_that_says_when_is_taken_at_its_word() -> None:
    async def build(job: Job) -> None:
        raise Unavailable("come back", retry_after_seconds=3000)

    async with fresh_database() as database:
        job_id = await add(database)
        async with open_worker(database, QUEUE, {"build": build}, backoff=AT_ONCE):
            await eventually(lambda: _has_error(database, job_id))
        job = await job_of(database, job_id)
        assert job.state == "ready"
        assert (job.run_at - job.create_time).total_seconds() > 2900


async def _has_error(database: Database, job_id: str) -> bool:
    return (await job_of(database, job_id)).last_error != ""


async def test_a_job_that_keeps_failing_is_dead_and_works_after_requeueing() -> None:
    broken = True

    async def build(job: Job) -> None:
        if broken:
            raise KeyError("speech that must not be kept")

    async with fresh_database() as database:
        job_id = await add(database, max_attempts=2)
        async with open_worker(database, QUEUE, {"build": build}, backoff=AT_ONCE, poll_seconds=0.02):
            await reaches(database, job_id, "dead")
            job = await job_of(database, job_id)
            assert job.attempts == 2
            assert job.last_error.startswith("KeyError in ")
            assert "speech" not in job.last_error
            broken = False
            async with whole(database).begin() as connection:
                await requeue(connection, job_id)
            await reaches(database, job_id, "done")


async def test_giving_up_uses_no_more_attempts() -> None:
    async def build(job: Job) -> None:
        raise GiveUp("the meeting is gone")

    async with fresh_database() as database:
        job_id = await add(database)
        async with open_worker(database, QUEUE, {"build": build}):
            await reaches(database, job_id, "dead")
        job = await job_of(database, job_id)
        assert (job.attempts, job.last_error) == (1, "GiveUp: the meeting is gone")


async def test_postponing_does_not_use_attempts_up() -> None:
    tries = 0

    async def build(job: Job) -> None:
        nonlocal tries
        tries += 1
        if tries < 5:
            raise Postpone(0, "the breaker is open")

    async with fresh_database() as database:
        job_id = await add(database, max_attempts=2)
        async with open_worker(database, QUEUE, {"build": build}, poll_seconds=0.02):
            await reaches(database, job_id, "done")
    assert tries == 5


async def test_a_handler_that_takes_too_long_fails() -> None:
    async def build(job: Job) -> None:
        await asyncio.Event().wait()

    async with fresh_database() as database:
        job_id = await add(database, max_attempts=1)
        async with open_worker(database, QUEUE, {"build": build}, job_seconds=0.05):
            await reaches(database, job_id, "dead")
        assert (await job_of(database, job_id)).last_error.startswith("TimeoutError")


async def test_a_long_job_keeps_its_lease() -> None:
    go = asyncio.Event()
    runs = 0

    async def build(job: Job) -> None:
        nonlocal runs
        runs += 1
        await go.wait()

    async with fresh_database() as database:
        job_id = await add(database)
        async with open_worker(database, QUEUE, {"build": build}, lease_seconds=0.3, poll_seconds=0.05):
            await reaches(database, job_id, "running")
            async with whole(database).connect() as connection:
                first = (await connection.execute(text("SELECT lease_until FROM jobs"))).scalar_one()

            async def lengthened() -> bool:
                async with whole(database).connect() as connection:
                    now = (await connection.execute(text("SELECT lease_until FROM jobs"))).scalar_one()
                return bool((now - first).total_seconds() > 0.6)

            await eventually(lengthened)
            go.set()
            await reaches(database, job_id, "done")
    assert runs == 1


async def test_a_handler_whose_lease_was_lost_is_cancelled_and_settles_nothing() -> None:
    cancelled = asyncio.Event()

    async def build(job: Job) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with fresh_database() as database:
        job_id = await add(database)
        async with open_worker(database, QUEUE, {"build": build}, lease_seconds=0.3):
            await reaches(database, job_id, "running")
            async with whole(database).begin() as connection:  # as if another worker had taken it
                await connection.execute(text("UPDATE jobs SET attempts = attempts + 1, worker = 'another'"))
                await connection.execute(text("UPDATE jobs SET lease_until = now() + interval '1 hour'"))
            async with asyncio.timeout(10):
                await cancelled.wait()
        job = await job_of(database, job_id)
        assert (job.state, job.worker) == ("running", "another")


async def test_notify_wakes_a_worker_long_before_its_next_look() -> None:
    async def build(job: Job) -> None:
        return

    async with (
        fresh_database() as database,
        open_worker(database, QUEUE, {"build": build}, poll_seconds=60),
    ):

        async def listening() -> bool:
            async with whole(database).mend() as connection:
                query = text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND state = 'idle'")
                return bool((await connection.execute(query)).scalar_one())

        await eventually(listening)
        job_id = await add(database)
        await notify(database, QUEUE)
        await reaches(database, job_id, "done")


async def test_at_the_end_running_jobs_finish_and_late_ones_go_back_uncounted() -> None:
    quick_started, finish = asyncio.Event(), asyncio.Event()

    async def build(job: Job) -> None:
        quick_started.set()
        if job.payload["number"] == 1:
            await finish.wait()
        else:
            await asyncio.Event().wait()

    async with fresh_database() as database:
        quick, slow = await add(database, 1), await add(database, 2, max_attempts=1)
        async with open_worker(database, QUEUE, {"build": build}, grace_seconds=0.3) as worker:
            await eventually(lambda: asyncio.sleep(0, len(worker.running) == 2))
            asyncio.get_running_loop().call_later(0.05, finish.set)
        assert (await job_of(database, quick)).state == "done"
        job = await job_of(database, slow)
        assert (job.state, job.max_attempts - job.attempts) == ("ready", 1)


async def test_a_body_that_raises_ends_the_worker_at_once() -> None:
    async def build(job: Job) -> None:
        await asyncio.Event().wait()

    async def room(database: Database, job_id: str) -> None:
        async with open_worker(database, QUEUE, {"build": build}, grace_seconds=60):
            await reaches(database, job_id, "running")
            raise RuntimeError("the room failed")

    async with fresh_database() as database:
        job_id = await add(database)
        with pytest.raises(ExceptionGroup) as raised:
            await room(database, job_id)
        assert raised.group_contains(RuntimeError, match="the room failed")
        assert (await job_of(database, job_id)).state == "ready"


async def test_a_worker_outlives_the_loss_of_its_connections() -> None:
    async def build(job: Job) -> None:
        return

    async with fresh_database() as database, open_worker(database, QUEUE, {"build": build}, poll_seconds=0.05):
        async with whole(database).mend() as connection:
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        job_id = await add(database)
        await reaches(database, job_id, "done")


async def test_a_handler_runs_in_the_trace_of_its_job() -> None:
    seen: list[str] = []

    async def build(job: Job) -> None:
        position = trace_context.current()
        seen.append(position.trace_id if position else "")

    async with fresh_database() as database:
        token = trace_context.move_to(trace_context.TraceContext("c" * 32, "d" * 16))
        job_id = await add(database)
        trace_context.move_back(token)
        async with open_worker(database, QUEUE, {"build": build}):
            await reaches(database, job_id, "done")
    assert seen == ["c" * 32]


async def test_an_expired_job_of_a_dead_worker_is_redone() -> None:
    async def build(job: Job) -> None:
        assert job.attempts == 2

    async with fresh_database() as database:
        job_id = await add(database)
        async with whole(database).begin() as connection:
            await claims.claim(connection, QUEUE, ["build"], worker="dead", lease_seconds=0.1, limit=1)
        async with open_worker(database, QUEUE, {"build": build}, lease_seconds=0.3):
            await reaches(database, job_id, "done")
