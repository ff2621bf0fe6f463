"""What PostgreSQL knows of replicas: their leases, by its own clock, and whose a meeting is.

Methods raise `kit.db.engine.DatabaseUnavailable` when the database is away. Writes bear repetition.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db.engine import Database
from kit.db.tenancy import across_tenants
from services.ingest.errors import MeetingNotFound
from services.ingest.intake.session import MeetingKey
from services.ingest.replicas.replica import Owner
from services.ingest.repository import is_meeting, lock_meeting
from store.models import ingest_replicas as replicas
from store.models import meetings

_FORGET = timedelta(days=1)
_ENDED = ("finished", "failed")


class ReplicaRepository:
    """Leases and owners."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def renew(self, replica_id: str, address: str, seconds: float) -> None:
        """Let a replica's lease run for so many seconds from now; those that ran out a day ago are forgotten."""
        until = func.clock_timestamp() + timedelta(seconds=seconds)
        async with self._database.begin() as connection:
            await connection.execute(
                insert(replicas)
                .values(id=replica_id, address=address, lease_until=until)
                .on_conflict_do_update(index_elements=[replicas.c.id], set_={"address": address, "lease_until": until})
            )
            await connection.execute(delete(replicas).where(replicas.c.lease_until < func.now() - _FORGET))

    async def release(self, replica_id: str) -> None:
        """Let a replica's lease end now."""
        async with self._database.begin() as connection:
            await connection.execute(
                update(replicas).where(replicas.c.id == replica_id).values(lease_until=func.clock_timestamp())
            )

    async def claim(self, key: MeetingKey, replica_id: str, *, shared: bool) -> Owner:
        """Return a meeting's owner: `replica_id` from now on if it was nobody's, or a dead one's with shared journals.

        A meeting that has ended and is nobody's stays nobody's.

        Raises:
            MeetingNotFound: there is no such meeting for this tenant.
        """
        async with self._database.begin() as connection:
            row = await lock_meeting(connection, key)
            if row is None:
                raise MeetingNotFound(key.meeting_id)
            if row.owner == replica_id or (row.owner == "" and row.state in _ENDED):
                return Owner(replica_id, "", True, epoch=row.epoch)
            if row.owner != "":
                owner = await _owner(connection, row, replica_id)
                if owner.alive or not shared:
                    return owner
            await connection.execute(update(meetings).where(is_meeting(key)).values(owner=replica_id))
            return Owner(replica_id, "", True, epoch=row.epoch)

    async def owner(self, key: MeetingKey, replica_id: str) -> Owner | None:
        """Return a meeting's owner, alive or not; None if it is nobody's, or is not there."""
        async with self._database.connect() as connection:
            statement = select(meetings.c.owner, meetings.c.epoch).where(is_meeting(key))
            row = (await connection.execute(statement)).one_or_none()
            return None if row is None or row.owner == "" else await _owner(connection, row, replica_id)

    async def orphans(self, replica_id: str) -> list[MeetingKey]:
        """Return the meetings of replicas whose lease has run out, and those of `replica_id` itself."""
        alive = select(replicas.c.id).where(replicas.c.lease_until > func.clock_timestamp())
        statement = (
            select(meetings.c.tenant_id, meetings.c.id)
            .where(meetings.c.owner != "")
            .where(or_(meetings.c.owner == replica_id, meetings.c.owner.not_in(alive)))
            .order_by(meetings.c.id)
        )
        with across_tenants():
            async with self._database.connect() as connection:
                return [MeetingKey(row.tenant_id, row.id) for row in await connection.execute(statement)]


async def _owner(connection: AsyncConnection, row: Any, replica_id: str) -> Owner:
    found = (
        await connection.execute(
            select(replicas.c.address, (replicas.c.lease_until > func.clock_timestamp()).label("alive")).where(
                replicas.c.id == row.owner
            )
        )
    ).one_or_none()
    mine = row.owner == replica_id
    if found is None:
        return Owner(row.owner, "", mine, alive=False, epoch=row.epoch)
    return Owner(row.owner, found.address, mine, alive=found.alive, epoch=row.epoch)
