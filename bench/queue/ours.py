"""The queue as rooms use it: `enqueue` in a transaction, a worker with leases and fences, keys, NOTIFY."""

import asyncio
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter

from sqlalchemy import text

from kit.db.engine import Database
from kit.queue import claims
from kit.queue.job import Job
from kit.queue.queue import enqueue
from kit.queue.wake import notify
from kit.queue.worker import open_worker

HOT = "hot"
_FILL = text(
    """
    INSERT INTO jobs (id, queue, kind, tenant_id, key, payload, state, max_attempts)
    SELECT :queue || number, :queue, 'build', 'default', :key, '{}',
        CASE WHEN number = 1 THEN 'ready' ELSE 'waiting' END, 8
    FROM generate_series(1, :jobs) AS number
    """
)


async def enqueue_each(database: Database, queue: str, jobs: int, key: Callable[[int], str | None]) -> float:
    """Enqueue jobs, one a commit; returns jobs per second."""
    started = perf_counter()
    for number in range(jobs):
        async with database.begin() as connection:
            await enqueue(connection, queue, "build", {"number": number}, key=key(number))
    return jobs / (perf_counter() - started)


async def enqueue_batches(database: Database, queue: str, jobs: int, batch: int) -> float:
    """Enqueue jobs, so many a commit; returns jobs per second."""
    started = perf_counter()
    for first in range(0, jobs, batch):
        async with database.begin() as connection:
            for number in range(first, first + batch):
                await enqueue(connection, queue, "build", {"number": number})
    return jobs / (perf_counter() - started)


async def process(database: Database, queue: str, jobs: int, tasks: int) -> float:
    """Let one worker run jobs that are there and do nothing; returns jobs per second."""
    done = 0
    finished = asyncio.Event()

    async def handle(job: Job) -> None:
        nonlocal done
        done += 1
        if done == jobs:
            finished.set()

    started = perf_counter()
    async with open_worker(database, queue, {"build": handle}, concurrency=tasks), asyncio.timeout(300):
        await finished.wait()
        elapsed = perf_counter() - started
    return jobs / elapsed


async def latencies(database: Database, queue: str, jobs: int, per_second: float) -> list[float]:
    """Enqueue and notify at a rate; returns seconds from before the enqueueing to the handler's first line."""
    begun: dict[int, float] = {}
    seconds: list[float] = []
    finished = asyncio.Event()

    async def handle(job: Job) -> None:
        seconds.append(perf_counter() - begun[job.payload["number"]])
        if len(seconds) == jobs:
            finished.set()

    async with open_worker(database, queue, {"build": handle}, concurrency=10), asyncio.timeout(60 + jobs / per_second):
        await asyncio.sleep(0.5)  # the worker's first look and its LISTEN
        start = perf_counter()
        for number in range(jobs):
            await asyncio.sleep(max(0.0, start + number / per_second - perf_counter()))
            begun[number] = perf_counter()
            async with database.begin() as connection:
                await enqueue(connection, queue, "build", {"number": number})
            await notify(database, queue)
        await finished.wait()
    return seconds


async def fill(database: Database, queue: str, jobs: int) -> None:
    """Put jobs of one key into a queue: its head is ready, the others wait."""
    async with database.begin() as connection:
        await connection.execute(_FILL, {"queue": queue, "key": HOT, "jobs": jobs})
    async with database.begin() as connection:
        await connection.execute(text("SET LOCAL ROLE NONE"))  # the rooms' own may not
        await connection.execute(text("ANALYZE jobs"))


async def key_costs(database: Database, queues: Mapping[str, str], repeats: int) -> dict[str, dict[str, float]]:
    """Return what enqueueing, claiming and finishing one job of the hot key take in each queue, in turns.

    Args:
        database: where the queues are.
        queues: name by variant.
        repeats: turns.

    Returns:
        Medians in milliseconds by variant.
    """
    spent: dict[str, dict[str, list[float]]] = {
        variant: {"enqueue_ms": [], "claim_ms": [], "finish_ms": []} for variant in queues
    }
    for _ in range(repeats):
        for variant, queue in queues.items():
            for name, seconds in (await _once(database, queue)).items():
                spent[variant][name].append(1_000 * seconds)
    return {variant: {name: median(values) for name, values in names.items()} for variant, names in spent.items()}


async def _once(database: Database, queue: str) -> dict[str, float]:
    moments = [perf_counter()]
    async with database.begin() as connection:
        await enqueue(connection, queue, "build", {}, key=HOT)
    moments.append(perf_counter())
    async with database.begin() as connection:
        (job,) = await claims.claim(connection, queue, ["build"], worker="bench", lease_seconds=60, limit=10)
    moments.append(perf_counter())
    async with database.begin() as connection:
        assert await claims.complete(connection, job)
    moments.append(perf_counter())
    return {
        name: after - before
        for name, before, after in zip(("enqueue_ms", "claim_ms", "finish_ms"), moments, moments[1:], strict=False)
    }
