"""Waking workers at once instead of at their next look: PostgreSQL's NOTIFY, in a transaction of its own."""

from collections.abc import AsyncGenerator

import psycopg
from sqlalchemy import text

from kit.db.engine import Database, DatabaseUnavailable

_CHANNEL = "agent_queue"
_NOTIFY = text("SELECT pg_notify(:channel, :queue)")


async def notify(database: Database, queue: str) -> None:
    """Tell the queue's workers that there is work; call it after the commit.

    Not within the transaction that enqueues: NOTIFY makes commits queue up behind one lock. A worker that misses it
    looks by itself a second later.
    """
    async with database.begin() as connection:
        await connection.execute(_NOTIFY, {"channel": _CHANNEL, "queue": queue})


async def listen(database: Database, queue: str) -> AsyncGenerator[None, None]:
    """Yield once per `notify` for the queue, holding a connection of the pool meanwhile.

    Raises:
        DatabaseUnavailable: the connection is gone.
    """
    async with database.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(f"LISTEN {_CHANNEL}"))
        raw = await connection.get_raw_connection()
        try:
            driver = raw.driver_connection
            assert isinstance(driver, psycopg.AsyncConnection)
            async for notification in driver.notifies():
                if notification.payload == queue:
                    yield
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable from error
        finally:
            await connection.invalidate()  # whoever gets it next must not be listening
