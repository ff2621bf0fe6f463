"""The second wall between tenants: a statement that forgets its tenant fails or finds nothing, and never leaks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from psycopg import sql
from sqlalchemy import Boolean, Connection, DateTime, Table, Text, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine

from kit.db.engine import Database, DatabaseUnavailable, open_database
from kit.db.migrate import migrate, migration_config
from kit.db.tenancy import across_tenants, within
from kit.lifecycle import StartError
from kit.queue.tables import metadata as queue_metadata
from store.models import connector_decisions, meetings, metadata
from tests.postgres import fresh_database, fresh_empty_url, fresh_url, server, whole

TABLES = [*metadata.sorted_tables, *queue_metadata.sorted_tables]
OF_TENANTS = [table for table in TABLES if "tenant_id" in table.c]
NO_SCOPE = "no tenant is in scope"
VALUES: dict[str, Any] = {
    "mode": "realtime", "basis": "roster", "format": "txt", "outcome": "allow", "desired": "in_call", "action": "none",
    "source": "worker", "start_ms": 0, "start_sample": 0,
}  # fmt: skip
BY_TABLE = {
    "artifacts": {"kind": "raw"}, "coverage": {"kind": "lost"}, "meetings": {"state": "live"},
    "connector_sessions": {"state": "live"}, "jobs": {"state": "ready"},
}  # fmt: skip


def row(table: Table, tenant_id: str) -> dict[str, Any]:
    """Return a row that the table takes; what refers to another refers to the tenant's."""
    kinds = {Text: tenant_id, JSONB: {}, DateTime: datetime(2026, 1, 1, tzinfo=UTC), Boolean: False}
    values: dict[str, Any] = {}
    for column in table.c:
        if not (column.nullable or column.server_default is not None or column.identity is not None):
            usual = next((value for kind, value in kinds.items() if isinstance(column.type, kind)), 1)
            values[column.name] = VALUES.get(column.name, usual)
    return values | BY_TABLE.get(table.name, {}) | {"tenant_id": tenant_id}


async def fill(database: Database, *tenants: str) -> None:
    for tenant_id in tenants:
        with within(tenant_id):
            async with database.begin() as connection:
                for table in OF_TENANTS:
                    await connection.execute(insert(table).values(row(table, tenant_id)))


@asynccontextmanager
async def of_an_owner(options: str = "") -> AsyncIterator[str]:
    """Give the block the address of a database whose owner logs in, a role without any power besides `options`."""
    name = f"owner_{uuid4().hex[:12]}"
    with psycopg.connect(server().url.replace("+psycopg", ""), autocommit=True) as connection:
        who = sql.Identifier(name)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'of-a-test' " + options).format(who))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(who, who))
        try:
            place = server().url.partition("@")[2].rpartition("/")[0]
            yield f"postgresql://{name}:of-a-test@{place}/{name}"
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(who))
            connection.execute(sql.SQL("DROP ROLE {}").format(who))


@asynccontextmanager
async def database_of(login: str) -> AsyncIterator[Database]:
    if login == "superuser":
        async with fresh_database() as database:
            yield database
        return
    async with of_an_owner() as url:
        await migrate(url)
        async with open_database(url) as database:
            yield database


async def test_every_table_of_tenants_is_walled_and_its_owner_too() -> None:
    async with fresh_database() as database, whole(database).begin() as connection:
        walled = await connection.execute(
            text(
                "SELECT relname, relforcerowsecurity FROM pg_class WHERE relrowsecurity AND EXISTS "
                "(SELECT FROM pg_policy WHERE polrelid = pg_class.oid AND polname = 'tenant' AND polcmd = '*')"
            )
        )
        found = {one.relname: one.relforcerowsecurity for one in walled}
    assert found.keys() == {table.name for table in OF_TENANTS} | {"connector_transitions"}
    assert all(found.values())


@pytest.mark.parametrize("login", ["superuser", "owner"])
async def test_statements_without_a_tenant_stay_within_the_callers(login: str) -> None:
    async with database_of(login) as database:
        await fill(database, "a", "b")
        with within("a"):
            for table in OF_TENANTS:
                async with database.begin() as connection:
                    assert set(await connection.scalars(select(table.c.tenant_id))) == {"a"}, table.name
                    same = {"tenant_id": table.c.tenant_id}
                    assert (await connection.execute(update(table).values(same))).rowcount == 1, table.name
                with pytest.raises(ProgrammingError, match="row-level security"):
                    async with database.begin() as connection:
                        await connection.execute(insert(table).values(row(table, "b")))
                with pytest.raises(ProgrammingError, match="row-level security"):
                    async with database.begin() as connection:
                        await connection.execute(update(table).values(tenant_id="b"))
            async with database.begin() as connection:
                for table in reversed(OF_TENANTS):
                    await connection.execute(delete(table))
        async with whole(database).begin() as connection:
            for table in OF_TENANTS:
                assert list(await connection.scalars(select(table.c.tenant_id))) == ["b"], table.name


@pytest.mark.parametrize("login", ["superuser", "owner"])
async def test_where_nothing_was_said_every_statement_is_refused(login: str) -> None:
    async with database_of(login) as database:
        await fill(database, "a")
        for table in OF_TENANTS:
            for statement in (select(table), update(table).values(tenant_id="a"), delete(table)):
                with pytest.raises(ProgrammingError, match=NO_SCOPE):
                    async with database.begin() as connection:
                        await connection.execute(statement)
            with pytest.raises(ProgrammingError, match=NO_SCOPE):
                async with database.connect() as reading:
                    await reading.execute(insert(table).values(row(table, "a")))


async def test_a_scope_does_not_outlive_its_transaction_on_the_connection() -> None:
    async with fresh_database(connections=1) as database:
        await fill(database, "a")
        with within("a"):
            with pytest.raises(RuntimeError):
                async with database.begin():
                    raise RuntimeError
            async with database.connect() as connection:
                await connection.execution_options(isolation_level="REPEATABLE READ")
                assert await connection.scalar(select(func.count()).select_from(meetings)) == 1
                await connection.commit()
                assert await connection.scalar(select(func.count()).select_from(meetings)) == 1
        with within("b"):
            async with database.begin() as connection:
                assert await connection.scalar(select(func.count()).select_from(meetings)) == 0
        with pytest.raises(ProgrammingError, match=NO_SCOPE):
            async with database.begin() as connection:
                await connection.execute(select(meetings))


async def test_tasks_side_by_side_each_see_their_own() -> None:
    async def seen(tenant_id: str) -> set[str]:
        found: set[str] = set()
        with within(tenant_id):
            for _ in range(5):
                async with database.begin() as connection:
                    found |= set(await connection.scalars(select(meetings.c.tenant_id)))
        return found

    async with fresh_database(connections=3) as database:
        await fill(database, "a", "b", "c")
        assert await asyncio.gather(*map(seen, "abc" * 3)) == [{"a"}, {"b"}, {"c"}] * 3


async def test_decisions_on_providers_are_everybodys_to_read_and_nobodys_to_change() -> None:
    async with fresh_database() as database:
        with across_tenants():
            async with database.begin() as connection:
                await connection.execute(insert(connector_decisions).values(row(connector_decisions, "")))
        with within("a"):
            async with database.begin() as connection:
                assert list(await connection.scalars(select(connector_decisions.c.tenant_id))) == [""]
                assert (await connection.execute(delete(connector_decisions))).rowcount == 0
        with pytest.raises(ValueError, match="no tenant has this name"), within("*"):
            pass


async def test_a_database_of_the_release_before_gets_its_wall() -> None:
    def upgrade(connection: Connection) -> None:
        command.upgrade(migration_config("store:migrations", connection), "0007")

    url = fresh_empty_url()
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(upgrade)
        await connection.execute(insert(meetings).values(row(meetings, "a")))
    await engine.dispose()
    await migrate(url)
    async with open_database(url) as database:
        for tenant_id, count in (("a", 1), ("b", 0)):
            with within(tenant_id):
                async with database.begin() as connection:
                    assert await connection.scalar(select(func.count()).select_from(meetings)) == count


async def test_a_login_that_skips_the_wall_and_can_not_step_down_is_told_so() -> None:
    with fresh_url():  # the role is there
        async with of_an_owner("BYPASSRLS") as url:
            with pytest.raises(StartError, match="take BYPASSRLS from it"):
                await migrate(url)


async def test_without_the_role_a_superuser_gets_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.db.wall._PUT_ON", "SET ROLE dropped_by_somebody")
    async with fresh_database() as database:
        with pytest.raises(DatabaseUnavailable, match="the start of any room makes it"):
            await database.ping()
