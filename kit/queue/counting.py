"""Counting the queues of a room for its operator, each by itself and in bounded time: a sick one hides no other."""

import asyncio
from collections.abc import Sequence

from sqlalchemy import text

from kit.db.engine import Database
from kit.db.tenancy import across_tenants
from kit.queue.errors import describe
from kit.queue.job import QueueStats
from kit.queue.queue import read_stats
from kit.telemetry import logs

_LOST_SECONDS = 0.25
"""How much longer than the server's own limit we wait for it: past that, nobody answers."""
_LARGEST = 2**31 - 1

_LIMIT = text(
    "SELECT set_config('statement_timeout', :milliseconds, true), set_config('lock_timeout', :milliseconds, true)"
)

log = logs.get()


async def count_queues(database: Database, queues: Sequence[str], *, seconds: float = 1.0) -> list[QueueStats]:
    """Count each of the queues, in the order given, all at once.

    One that cannot be counted within `seconds` (the database is away, a lock is held, a row is beyond reading) is
    answered with `error`; it never raises.
    """
    return list(await asyncio.gather(*(_count(database, queue, seconds) for queue in queues)))


async def _count(database: Database, queue: str, seconds: float) -> QueueStats:
    try:
        with across_tenants():
            async with asyncio.timeout(seconds + _LOST_SECONDS), database.begin() as connection:
                await connection.execute(_LIMIT, {"milliseconds": str(int(seconds * 1000))})
                (stats,) = await read_stats(connection, [queue])
        if not 0 <= stats.oldest_age_seconds <= _LARGEST:
            raise ValueError
        return stats
    except Exception as error:  # an edge: whatever is wrong with one queue is that queue's row
        log.warning("queue_uncounted", queue=queue, error=describe(error))
        return QueueStats(queue, 0, 0, 0, 0.0, error=_sentence(error, seconds))


def _sentence(error: Exception, seconds: float) -> str:
    # PostgreSQL says 57014 (canceled) and 55P03 (lock not available) when its own limits are reached.
    late = getattr(error, "metadata", {}).get("sqlstate") in ("57014", "55P03")
    if late or isinstance(error, TimeoutError):
        return f"could not be counted within {seconds:g} s"
    return f"cannot be counted ({describe(error)})"
