"""Migrations: any number of processes at once, killed in the middle, and equal to the models at the end."""

import asyncio
import sys
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from kit.db.engine import DatabaseUnavailable, open_database
from kit.db.migrate import migrate
from kit.queue.tables import metadata as queue_metadata
from store.models import metadata
from tests.postgres import fresh_empty_url, fresh_url

MIGRATE = "import asyncio, sys; from kit.db.migrate import migrate; asyncio.run(migrate(sys.argv[1]))"
TABLES = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"


async def start(url: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", MIGRATE, url, env={"PYTHONPATH": ":".join(sys.path)}, stderr=asyncio.subprocess.PIPE
    )


def count_tables(url: str) -> int:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute(TABLES).fetchone()
        assert row is not None
        return int(row[0])


async def test_four_processes_at_once_all_succeed() -> None:
    url = fresh_empty_url()
    processes = [await start(url) for _ in range(4)]
    problems = [(await process.communicate())[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, problems
    assert count_tables(url) == len(metadata.tables) + len(queue_metadata.tables) + 1


async def test_a_migration_that_was_killed_is_done_by_the_next() -> None:
    url = fresh_empty_url()
    killed = await start(url)
    while count_tables(url) == 0 and killed.returncode is None:
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            row = connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted").fetchone()
        if row and row[0]:
            break
        await asyncio.sleep(0.005)
    if killed.returncode is None:
        killed.kill()
    await killed.communicate()
    await migrate(url)
    assert count_tables(url) == len(metadata.tables) + len(queue_metadata.tables) + 1


async def test_migrating_again_changes_nothing() -> None:
    with fresh_url() as url:
        before = count_tables(url)
        await migrate(url)
        assert count_tables(url) == before


async def test_the_revisions_lead_to_the_models() -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, [metadata, queue_metadata]))  # type: ignore[arg-type]  # it takes several

    with fresh_url() as url:
        async with open_database(url) as database, database.connect() as connection:
            assert await connection.run_sync(differences) == []


async def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(DatabaseUnavailable, match=r"^DATABASE_URL: .*refused$"):
        await migrate("postgresql://nobody@127.0.0.1:1/nothing")
