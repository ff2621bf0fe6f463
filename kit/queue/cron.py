"""Work at set times: whoever comes first takes the slot, everybody else finds it taken."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.queue.queue import enqueue

_TAKE = text(
    "INSERT INTO cron_slots (name, slot_time) VALUES (:name, :slot_time) ON CONFLICT DO NOTHING RETURNING name"
)
_FORGET = text("DELETE FROM cron_slots WHERE name = :name AND slot_time < :before")
_REMEMBERED = timedelta(days=400)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def slot_of(moment: datetime, every: timedelta) -> datetime:
    """Return the start of the slot that `moment` is in; slots are counted from 1970 in UTC."""
    return _EPOCH + (moment - _EPOCH) // every * every


async def enqueue_slot(
    connection: AsyncConnection, name: str, slot_time: datetime, queue: str, kind: str, payload: Mapping[str, Any]
) -> str | None:
    """Enqueue the slot's job, in the caller's transaction, unless the slot was taken at any time before.

    A slot stays taken after its job is done and gone; it is forgotten when one 400 days younger is taken.

    Returns:
        The job's id, None if the slot was taken.
    """
    if (await connection.execute(_TAKE, {"name": name, "slot_time": slot_time})).one_or_none() is None:
        return None
    await connection.execute(_FORGET, {"name": name, "before": slot_time - _REMEMBERED})
    return await enqueue(connection, queue, kind, payload)
