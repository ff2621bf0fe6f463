"""Counting queues: what one of them suffers is its own row's."""

import asyncio
from datetime import UTC, datetime, timedelta
from time import monotonic

from sqlalchemy import text

from kit.db.engine import Database, open_database
from kit.queue.counting import count_queues
from kit.queue.queue import enqueue
from tests.postgres import fresh_database, whole

SICK = """
    ALTER TABLE jobs RENAME TO jobs_kept;
    CREATE VIEW jobs AS SELECT * FROM jobs_kept WHERE CASE queue
        WHEN 'slow' THEN pg_sleep(30) IS NOT NULL WHEN 'broken' THEN 1 / (sequence - sequence) = 1 ELSE true END
"""


async def add(database: Database, queue: str, **options: object) -> None:
    async with whole(database).begin() as connection:
        await enqueue(connection, queue, "build", {}, **options)  # type: ignore[arg-type]


async def test_a_queue_that_cannot_be_counted_is_its_own_rows_error() -> None:
    async with fresh_database() as database:
        for queue in ("well", "slow", "broken", "also_well"):
            await add(database, queue)
        async with whole(database).mend() as connection:
            for statement in SICK.split(";"):
                await connection.execute(text(statement))
        began = monotonic()
        well, slow, broken, also_well = await count_queues(
            database, ["well", "slow", "broken", "also_well"], seconds=0.3
        )
        assert monotonic() - began < 5
    assert (well.depth, well.error, also_well.depth, also_well.error) == (1, "", 1, "")
    assert (slow.depth, slow.error) == (0, "could not be counted within 0.3 s")
    assert broken.error.startswith("cannot be counted (DataError")


async def test_a_held_lock_costs_no_more_than_the_limit() -> None:
    async with fresh_database() as database:
        async with whole(database).begin() as holder:
            await holder.execute(text("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"))
            (held,) = await count_queues(database, ["report"], seconds=0.2)
        (free,) = await count_queues(database, ["report"])
    assert held.error == "could not be counted within 0.2 s"
    assert free.error == ""


async def test_an_age_beyond_all_numbers_is_an_error_not_a_crash() -> None:
    async with fresh_database() as database:
        await add(database, "report")
        async with whole(database).begin() as connection:
            await connection.execute(text("UPDATE jobs SET run_at = '-infinity'"))
        (report,) = await count_queues(database, ["report"])
    assert report.error.startswith("cannot be counted")


async def test_a_database_that_is_away_is_every_rows_error() -> None:
    async with open_database("postgresql://nobody@127.0.0.1:1/none", wait_seconds=1) as database:
        counted = await count_queues(database, ["one", "two"], seconds=1)
    assert [(stats.queue, bool(stats.error)) for stats in counted] == [("one", True), ("two", True)]


async def test_the_claim_behind_one_hot_key_reads_the_index_of_ready_jobs() -> None:
    async with fresh_database() as database:
        await add(database, "report", key="hot")
        async with whole(database).begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO jobs (id, queue, kind, tenant_id, key, state, max_attempts) "
                    "SELECT 'w' || n, 'report', 'build', 't', 'hot', 'waiting', 8 FROM generate_series(1, 20000) n"
                )
            )
        async with whole(database).mend() as connection:
            await connection.execute(text("ANALYZE jobs"))
        async with whole(database).begin() as connection:
            plan = await connection.scalar(
                text(
                    "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT id FROM jobs WHERE queue = 'report' "
                    "AND state = 'ready' AND run_at <= now() AND kind = ANY(ARRAY['build']) "
                    "ORDER BY priority DESC, run_at, sequence LIMIT 10 FOR UPDATE SKIP LOCKED"
                )
            )
    read = plan[0]["Plan"]
    assert read["Actual Rows"] == 1
    assert read["Shared Hit Blocks"] + read["Shared Read Blocks"] < 50  # 20,000 waiting rows fill hundreds


async def test_oldest_age_is_that_of_the_job_due_longest() -> None:
    async with fresh_database() as database:
        await add(database, "report", run_at=datetime.now(UTC) - timedelta(seconds=90))
        await add(database, "report", run_at=datetime.now(UTC) + timedelta(seconds=90))
        (stats,) = await asyncio.wait_for(count_queues(database, ["report"]), 10)
    assert 89 <= stats.oldest_age_seconds <= 95
    assert (stats.depth, stats.error) == (2, "")
