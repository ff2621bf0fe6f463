"""A bounded pool of connections to PostgreSQL and transactions on it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from kit.db.url import parse_url
from kit.db.wall import WallMissing, keep_wall
from kit.errors import Unavailable


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached or has no room now; the transaction did not happen, or nobody knows whether."""

    reason = "ERROR_REASON_DEPENDENCY_UNAVAILABLE"
    retry_after_seconds = 1.0


class Database:
    """Transactions on a pool.

    Each touches the rows of the tenant that is in scope when it begins (`kit.db.tenancy`), and of no other.

    `begin` and `connect` raise DatabaseUnavailable, from inside the block too, when the server is away, refuses,
    cancels, or the pool has nothing free in time. Errors of the statements themselves stay SQLAlchemy's.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Run the block in a transaction: committed at its end, rolled back when it raises."""
        async with _available(self.engine.begin()) as connection:
            yield connection

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """Run the block on a connection; what it does not commit is rolled back."""
        async with _available(self.engine.connect()) as connection:
            yield connection

    async def ping(self) -> None:
        """Ask the server for a sign of life.

        Raises:
            DatabaseUnavailable: there is none.
        """
        async with self.connect() as connection:
            await connection.execute(text("SELECT 1"))


@asynccontextmanager
async def open_database(
    url: str,
    *,
    room: str = "agent",
    connections: int = 10,
    wait_seconds: float = 10.0,
    statement_seconds: float = 60.0,
) -> AsyncIterator[Database]:
    """Keep a pool for the block. The server need not be there yet: connections are made when they are needed.

    Args:
        url: `postgresql://user:password@host:port/name`. Through PgBouncer, let it pass the startup parameter
            `options` (`ignore_startup_parameters`), or give `options` in the address yourself.
        room: shown as application_name in pg_stat_activity.
        connections: size of the pool.
        wait_seconds: time to wait for a free connection.
        statement_seconds: time after which the server cancels a statement, or ends a transaction that does nothing.

    Raises:
        StartError: `url` is not the address of a PostgreSQL database.
    """
    address = parse_url(url)
    milliseconds = int(statement_seconds * 1000)
    arguments: dict[str, object] = {
        "application_name": f"agent-{room}",
        "connect_timeout": 5,
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    if "options" not in address.query:
        arguments["options"] = (
            f"-c timezone=UTC -c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds}"
        )
    engine = create_async_engine(
        address,
        connect_args=arguments,
        pool_pre_ping=True,  # a restart of the server costs nobody an error
        pool_size=connections,
        max_overflow=0,
        pool_timeout=wait_seconds,
    )
    keep_wall(engine)
    try:
        yield Database(engine)
    finally:
        await engine.dispose()


@asynccontextmanager
async def _available(opened: AbstractAsyncContextManager[AsyncConnection]) -> AsyncIterator[AsyncConnection]:
    try:
        async with opened as connection:
            yield connection
    except (OperationalError, InterfaceError, PoolTimeoutError, psycopg.OperationalError) as error:
        raise DatabaseUnavailable(sqlstate=_sqlstate(error)) from error
    except WallMissing as error:
        raise DatabaseUnavailable(str(error)) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise DatabaseUnavailable(sqlstate=_sqlstate(error)) from error
        raise


def _sqlstate(error: Exception) -> str:
    return getattr(getattr(error, "orig", error), "sqlstate", None) or ""
