"""The pool: transactions, and what callers see when the server is away, slow or full."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db.engine import Database, DatabaseUnavailable, open_database
from tests.postgres import fresh_database, fresh_url, whole


async def write(connection: AsyncConnection, *numbers: int) -> None:
    for number in numbers:
        await connection.execute(text("INSERT INTO kept VALUES (:number)"), {"number": number})


async def test_a_transaction_commits_at_the_end_and_rolls_back_on_an_error() -> None:
    async with fresh_database() as database:
        async with whole(database).mend() as connection:
            await connection.execute(text("CREATE TABLE kept (n int PRIMARY KEY)"))
            await write(connection, 1)
        with pytest.raises(IntegrityError):
            async with database.begin() as connection:
                await write(connection, 2, 1)
        async with database.connect() as connection:
            assert (await connection.execute(text("SELECT array_agg(n) FROM kept"))).scalar_one() == [1]


async def test_connections_carry_the_rooms_name_and_utc() -> None:
    with fresh_url() as url:
        async with open_database(url, room="ingest") as database, database.connect() as connection:
            assert (await connection.execute(text("SHOW application_name"))).scalar_one() == "agent-ingest"
            moment = (await connection.execute(text("SELECT now()"))).scalar_one()
            assert moment.utcoffset().total_seconds() == 0


async def test_a_server_that_is_away_is_unavailable_and_may_be_asked_again() -> None:
    async with open_database("postgresql://nobody@127.0.0.1:1/nothing") as database:
        with pytest.raises(DatabaseUnavailable) as caught:
            await database.ping()
        assert caught.value.retry_after_seconds == 1.0


async def test_a_full_pool_is_unavailable_after_the_wait() -> None:
    with fresh_url() as url:
        async with open_database(url, connections=1, wait_seconds=0.05) as database, database.connect():
            with pytest.raises(DatabaseUnavailable):
                await database.ping()


async def test_a_statement_that_takes_too_long_is_cancelled() -> None:
    with fresh_url() as url:
        async with open_database(url, statement_seconds=0.05) as database:
            with pytest.raises(DatabaseUnavailable) as caught:
                async with database.connect() as connection:
                    await connection.execute(text("SELECT pg_sleep(30)"))
            assert caught.value.metadata == {"sqlstate": "57014"}


async def be_cut_off(database: Database) -> None:
    async with database.begin() as victim:
        pid = (await victim.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        async with whole(database).mend() as other:
            await other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        await victim.execute(text("SELECT 1"))


async def test_a_transaction_cut_off_by_the_server_is_unavailable_and_the_next_one_works() -> None:
    async with fresh_database() as database:
        with pytest.raises(DatabaseUnavailable):
            await be_cut_off(database)
        await asyncio.gather(*(database.ping() for _ in range(10)))
