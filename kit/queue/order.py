"""The order of a key: a lock that enqueueing and finishing take, and the promotion of the next job."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Until the transaction ends, so that sequence numbers of one key follow the order of commits.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:queue || '/' || :key, 0))")

_PROMOTE = text(
    """
    UPDATE jobs SET state = 'ready'
    WHERE id = (
        SELECT id FROM jobs WHERE queue = :queue AND key = :key AND state = 'waiting' ORDER BY sequence LIMIT 1
    )
    """
)


async def lock_key(connection: AsyncConnection, queue: str, key: str | None) -> None:
    """Keep others from changing which job of the key comes first; take it before the rows, or deadlocks follow."""
    if key is not None:
        await connection.execute(_LOCK, {"queue": queue, "key": key})


async def promote_next(connection: AsyncConnection, queue: str, key: str | None) -> None:
    """Make the oldest waiting job of the key ready, its head having finished; the key is locked."""
    if key is not None:
        await connection.execute(_PROMOTE, {"queue": queue, "key": key})
