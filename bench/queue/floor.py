"""The floor: what any queue on this table pays. Bare psycopg, prepared statements, no order, no fence, no dedupe."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import psycopg

from kit.ids import new_id

INSERT = (
    "INSERT INTO jobs (id, queue, kind, tenant_id, payload, state, max_attempts)"
    " VALUES (%s, %s, 'build', 'default', '{\"number\": 1}', 'ready', 8)"
)
CLAIM = """
    UPDATE jobs SET state = 'running', attempts = attempts + 1, worker = 'floor', lease_until = now() + interval '30 s'
    WHERE id IN (
        SELECT id FROM jobs WHERE queue = %s AND state = 'ready' AND run_at <= now()
        ORDER BY priority DESC, run_at, sequence LIMIT %s FOR UPDATE SKIP LOCKED
    )
    RETURNING id, payload
"""
DONE = (
    "UPDATE jobs SET state = 'done', finish_time = now(), worker = NULL, lease_until = NULL"
    " WHERE id = %s AND state = 'running'"
)
CHANNEL = "bench_floor"


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Give the block a connection that commits each statement by itself."""
    address = url.replace("postgresql+psycopg://", "postgresql://")
    async with await psycopg.AsyncConnection.connect(address, autocommit=True, prepare_threshold=1) as connection:
        yield connection


async def insert_each(url: str, queue: str, jobs: int) -> float:
    """Insert jobs, one a commit; returns jobs per second."""
    async with connected(url) as connection:
        started = perf_counter()
        for _ in range(jobs):
            await connection.execute(INSERT, (new_id(), queue))
        return jobs / (perf_counter() - started)


async def insert_batches(url: str, queue: str, jobs: int, batch: int) -> float:
    """Insert jobs, so many a commit, one statement each; returns jobs per second."""
    async with connected(url) as connection:
        started = perf_counter()
        for _ in range(jobs // batch):
            async with connection.transaction():
                for _ in range(batch):
                    await connection.execute(INSERT, (new_id(), queue))
        return jobs / (perf_counter() - started)


async def process(url: str, queue: str, jobs: int, tasks: int) -> float:
    """Claim and finish jobs that are there, in so many tasks, one at a time each; returns jobs per second."""
    left = jobs

    async def work() -> None:
        nonlocal left
        async with connected(url) as connection:
            while left > 0:
                row = await (await connection.execute(CLAIM, (queue, 1))).fetchone()
                if row is None:
                    return
                await connection.execute(DONE, (row[0],))
                left -= 1

    started = perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(tasks):
            group.create_task(work(), name=f"bench.floor.{number}")
    assert left == 0, "jobs were left behind"
    return jobs / (perf_counter() - started)


async def latencies(url: str, queue: str, jobs: int, per_second: float) -> list[float]:
    """Insert and notify at a rate, claim when called; returns seconds from before the insert to the claim."""
    begun: dict[str, float] = {}
    seconds: list[float] = []
    listening = asyncio.Event()

    async def consume() -> None:
        async with connected(url) as listener, connected(url) as connection:
            await listener.execute(f"LISTEN {CHANNEL}")
            listening.set()
            async for _ in listener.notifies():
                for row in await (await connection.execute(CLAIM, (queue, 10))).fetchall():
                    seconds.append(perf_counter() - begun[row[0]])
                    await connection.execute(DONE, (row[0],))
                if len(seconds) == jobs:
                    return

    async with asyncio.timeout(60 + jobs / per_second), asyncio.TaskGroup() as group:
        group.create_task(consume(), name="bench.floor.consume")
        await listening.wait()
        async with connected(url) as connection:
            start = perf_counter()
            for number in range(jobs):
                await asyncio.sleep(max(0.0, start + number / per_second - perf_counter()))
                job_id = new_id()
                begun[job_id] = perf_counter()
                await connection.execute(INSERT, (job_id, queue))
                await connection.execute(f"SELECT pg_notify('{CHANNEL}', '')")
    return seconds
