"""Erasure in PostgreSQL: rows out, a tombstone in, and a job for the blobs, in one transaction; what is old enough.

Methods raise `kit.db.engine.DatabaseUnavailable` when the database is away. Writes bear repetition.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.clock import now
from kit.db.engine import Database, DatabaseUnavailable
from kit.db.tenancy import across_tenants
from kit.errors import NotFound
from kit.queue import claims
from kit.queue.job import Job
from kit.queue.queue import drop_key, enqueue
from kit.queue.wake import notify
from services.ingest.errors import MeetingErased, MeetingNotFound
from services.ingest.intake.session import MeetingKey
from services.ingest.repository import REPORT_QUEUE, is_meeting
from store.models import audio_sessions, meetings, tombstones

QUEUE = "ingest"
ERASE_BLOBS = "erase_blobs"
RETENTION = "retention"
"""Who erased what was too old."""
_ENDED = ("finished", "failed")
_ATTEMPTS = 20
"""With the queue's pauses they last about two hours; then the job waits for an operator, and nothing is forgotten."""
_STRAGGLERS = timedelta(minutes=15)
"""Time after which no process can still be writing a blob that it began before the meeting was erased."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a meeting."""

    meeting_id: str
    erase_time: datetime
    erased_by: str
    reason: str
    blobs_gone_time: datetime | None


@dataclass(frozen=True, slots=True)
class TooOld:
    """Meetings that ended so long ago: of one tenant, or of everybody but some."""

    before: datetime
    tenant_id: str | None
    others: Collection[str] = ()
    """Tenants that are not meant when `tenant_id` is None."""


class ErasureRepository:
    """Meetings on their way out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(self, key: MeetingKey, *, erased_by: str, reason: str) -> tuple[Tombstone, bool]:
        """Delete a meeting's rows and its waiting jobs, leave a tombstone, and ask for its blobs to be deleted.

        Returns:
            The tombstone, and whether it is new: a meeting that was erased before keeps the one it has.

        Raises:
            MeetingNotFound: there is and was no such meeting for this tenant.
        """
        async with self._database.begin() as connection:
            # The owner's writes hold this lock too: they come before, and go with the rest, or find nothing.
            row = (
                await connection.execute(select(meetings.c.id).where(is_meeting(key)).with_for_update())
            ).one_or_none()
            if row is None:
                return await _tombstone(connection, key), False
            await connection.execute(delete(meetings).where(is_meeting(key)))
            await connection.execute(
                insert(tombstones).values(
                    meeting_id=key.meeting_id, tenant_id=key.tenant_id, erased_by=erased_by, reason=reason
                )
            )
            await drop_key(connection, REPORT_QUEUE, key.meeting_id)
            await _enqueue_blobs(connection, key, last=False)
            tombstone = await _tombstone(connection, key)
        with suppress(DatabaseUnavailable):  # then a worker finds it a second later
            await notify(self._database, QUEUE)
        return tombstone, True

    async def tombstone(self, key: MeetingKey) -> Tombstone:
        """Return what is left of a meeting.

        Raises:
            MeetingNotFound: nothing is, or it was never there.
        """
        async with self._database.connect() as connection:
            return await _tombstone(connection, key)

    async def blobs_gone(self, job: Job, key: MeetingKey) -> None:
        """Note that the blobs are deleted, and have a last look made for what was being written meanwhile.

        Raises:
            JobLost: the job is another worker's by now.
        """
        async with self._database.begin() as connection:
            await connection.execute(
                update(tombstones)
                .where(tombstones.c.meeting_id == key.meeting_id, tombstones.c.tenant_id == key.tenant_id)
                .where(tombstones.c.blobs_gone_time.is_(None))
                .values(blobs_gone_time=func.now())
            )
            await claims.finish(connection, job)
            if not job.payload.get("last"):
                await _enqueue_blobs(connection, key, last=True)

    async def old_meetings(self, old: TooOld, limit: int) -> list[MeetingKey]:
        """Return meetings that ended, or were made and never began, before a moment; oldest first."""
        age = func.coalesce(meetings.c.end_time, meetings.c.create_time)
        return await self._old(old, age, meetings.c.state.in_([*_ENDED, "scheduled"]), limit)

    async def old_recordings(self, old: TooOld, limit: int) -> list[MeetingKey]:
        """Return meetings with sealed audio that ended before a moment; oldest first."""
        sealed = (
            select(audio_sessions.c.id)
            .where(audio_sessions.c.meeting_id == meetings.c.id, audio_sessions.c.sealed_key.is_not(None))
            .exists()
        )
        age = func.coalesce(meetings.c.end_time, meetings.c.create_time)
        return await self._old(old, age, and_(meetings.c.state.in_(_ENDED), sealed), limit)

    async def audio_gone(self, key: MeetingKey) -> None:
        """Note that the sealed tracks of a meeting are deleted; its text stays."""
        async with self._database.begin() as connection:
            await connection.execute(
                update(meetings)
                .where(is_meeting(key))
                .values(audio_erase_time=func.coalesce(meetings.c.audio_erase_time, func.now()))
            )
            await connection.execute(
                update(audio_sessions)
                .where(audio_sessions.c.meeting_id == key.meeting_id, audio_sessions.c.tenant_id == key.tenant_id)
                .values(sealed_key=None)
            )

    async def _old(self, old: TooOld, age: Any, condition: Any, limit: int) -> list[MeetingKey]:
        statement = select(meetings.c.tenant_id, meetings.c.id).where(condition, age < old.before)
        if old.tenant_id is not None:
            statement = statement.where(meetings.c.tenant_id == old.tenant_id)
        elif old.others:
            statement = statement.where(meetings.c.tenant_id.not_in(old.others))
        statement = statement.order_by(age, meetings.c.id).limit(limit)
        with across_tenants():
            async with self._database.connect() as connection:
                return [MeetingKey(row.tenant_id, row.id) for row in await connection.execute(statement)]


async def refuse_erased(connection: AsyncConnection, key: MeetingKey) -> NotFound:
    """Return the error for a meeting that has no row: it was erased, or never there."""
    erased = await connection.scalar(
        select(tombstones.c.meeting_id).where(
            tombstones.c.meeting_id == key.meeting_id, tombstones.c.tenant_id == key.tenant_id
        )
    )
    return MeetingNotFound(key.meeting_id) if erased is None else MeetingErased(key.meeting_id)


async def _tombstone(connection: AsyncConnection, key: MeetingKey) -> Tombstone:
    row = (
        await connection.execute(
            select(tombstones).where(tombstones.c.meeting_id == key.meeting_id, tombstones.c.tenant_id == key.tenant_id)
        )
    ).one_or_none()
    if row is None:
        raise MeetingNotFound(key.meeting_id)
    return Tombstone(row.meeting_id, row.erase_time, row.erased_by, row.reason, row.blobs_gone_time)


async def _enqueue_blobs(connection: AsyncConnection, key: MeetingKey, *, last: bool) -> None:
    await enqueue(
        connection,
        QUEUE,
        ERASE_BLOBS,
        {"meeting_id": key.meeting_id, "tenant_id": key.tenant_id, "last": last},
        tenant_id=key.tenant_id,
        key=key.meeting_id,
        dedupe=f"{ERASE_BLOBS}/{key.meeting_id}/{'last' if last else 'first'}",
        run_at=now() + _STRAGGLERS if last else None,
        max_attempts=_ATTEMPTS,
    )
