"""A real PostgreSQL for tests: one server per test process, a migrated database of its own per caller.

    from tests.postgres import fresh_database

    async def test_something():
        async with fresh_database() as database:      # or: with fresh_url() as url
            async with whole(database).begin() as connection:    # what tests write and read themselves
                ...

The server starts when it is first asked for, in the main thread, and ends with the process.
"""

import asyncio
import atexit
import functools
import shutil
import tempfile
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db.embedded import EmbeddedPostgres, open_embedded
from kit.db.engine import Database, open_database
from kit.db.migrate import migrate
from kit.db.tenancy import across_tenants

_TEMPLATE = "migrated"


@functools.cache
def server() -> EmbeddedPostgres:
    """Return the process's server, started now if it was not; it does without syncing, tests do not cut the power."""
    stack = ExitStack()
    atexit.register(stack.close)
    root = Path(tempfile.mkdtemp(prefix="agent-tests-pg-"))
    stack.callback(shutil.rmtree, root, ignore_errors=True)
    root.chmod(0o711)  # when we are root, the server's user passes through here
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forking beside gRPC's threads
        settings = {
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "autovacuum": "off",  # its launcher sleeps for a minute at a time, and dropping a database waits for it
        }
        return stack.enter_context(open_embedded(root, settings=settings))


def fresh_empty_url() -> str:
    """Return the address of a new database without tables."""
    return _create(None)


@functools.cache
def _template() -> str:
    # In a thread of its own: the caller may stand in a running event loop.
    url = _create(None, name=_TEMPLATE)
    problems: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(migrate(url))
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=run, name="tests.migrate")
    thread.start()
    thread.join(60)
    if problems:
        raise problems[0]
    return _TEMPLATE


@contextmanager
def fresh_url() -> Iterator[str]:
    """Give the block the address of a database with every table and no row; it is dropped afterwards."""
    url = _create(_template())
    try:
        yield url
    finally:
        with psycopg.connect(_plain(server().url), autocommit=True) as connection:
            name = url.rpartition("/")[2]
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@asynccontextmanager
async def fresh_database(*, connections: int = 10) -> AsyncIterator[Database]:
    """Give the block a pool on a database with every table and no row."""
    with fresh_url() as url:
        async with open_database(url, room="tests", connections=connections) as database:
            yield database


@pytest.fixture
def database_url() -> Iterator[str]:
    """The address of a migrated database of the test's own."""
    with fresh_url() as url:
        yield url


@pytest.fixture
def every_tenant() -> Iterator[None]:
    """The scope of tests that call repositories themselves, as servicers and loops do within theirs."""
    with across_tenants():
        yield


class Whole:
    """A database as a test looks at it: over all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """See `Database.begin`."""
        with across_tenants():
            async with self._database.begin() as connection:
                yield connection

    @asynccontextmanager
    async def mend(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction as the login itself, a superuser: it may make tables and look at other sessions."""
        async with self.begin() as connection:
            await connection.execute(text("SET LOCAL ROLE NONE"))
            yield connection

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """See `Database.connect`."""
        with across_tenants():
            async with self._database.connect() as connection:
                yield connection


def whole(database: Database) -> Whole:
    """Return the database for a test's own statements; what the rooms do in it keeps the scope that they say."""
    return Whole(database)


def _create(template: str | None, *, name: str | None = None) -> str:
    name = name or f"test_{uuid4().hex[:12]}"
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log").format(
        sql.Identifier(name), sql.Identifier(template or "template1")
    )
    with psycopg.connect(_plain(server().url), autocommit=True) as connection:
        connection.execute(statement)
    return f"{server().url.rpartition('/')[0]}/{name}"


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")
