"""Quick recordings in PostgreSQL. Methods raise `kit.db.engine.DatabaseUnavailable` when the database is away."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from kit.db.engine import Database
from kit.db.tenancy import across_tenants
from services.ingest.errors import MeetingNotFound, TooManyRecordings
from services.ingest.intake.session import MeetingKey
from store.models import quick_recordings as table

ACTIVE = ("recording", "assembling")

_COUNTED = text("SELECT pg_advisory_xact_lock(hashtextextended('quick_recordings:' || :tenant_id, 0))")


@dataclass(frozen=True, slots=True)
class QuickRow:
    """One quick recording; `stop_time` is when somebody asked it to stop."""

    meeting_id: str
    tenant_id: str
    url: str
    duration_seconds: int
    transcribe: bool
    upload_to_agent: bool
    create_time: datetime
    state: str = "recording"
    error: str = ""
    session_state: str = ""
    stop_time: datetime | None = None

    @property
    def key(self) -> MeetingKey:
        """The meeting that it is."""
        return MeetingKey(self.tenant_id, self.meeting_id)


class QuickRepository:
    """Quick recordings."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, row: QuickRow, *, most: int, lease: timedelta) -> tuple[QuickRow, bool]:
        """Keep a new recording; returns the one that is kept, and whether it is new.

        Raises:
            TooManyRecordings: the tenant has `most` under way.
        """
        async with self._database.begin() as connection:
            await connection.execute(_COUNTED, {"tenant_id": row.tenant_id})
            known = await connection.execute(select(table).where(_is(row.key)))
            if (there := known.one_or_none()) is not None:
                return _row(there), False
            under_way = await connection.scalar(
                select(func.count())
                .select_from(table)
                .where(table.c.tenant_id == row.tenant_id, table.c.state == "recording")
            )
            if (under_way or 0) >= most:
                raise TooManyRecordings(most)
            made = await connection.execute(
                insert(table)
                .values(
                    meeting_id=row.meeting_id,
                    tenant_id=row.tenant_id,
                    url=row.url,
                    duration_seconds=row.duration_seconds,
                    transcribe=row.transcribe,
                    upload_to_agent=row.upload_to_agent,
                    check_time=func.now() + lease,
                )
                .returning(table)
            )
            return _row(made.one()), True

    async def under_way(self, tenant_id: str) -> int:
        """Count a tenant's recordings that go on."""
        async with self._database.connect() as connection:
            statement = select(func.count()).select_from(table)
            statement = statement.where(table.c.tenant_id == tenant_id, table.c.state == "recording")
            return await connection.scalar(statement) or 0

    async def find(self, key: MeetingKey) -> QuickRow:
        """Return a recording.

        Raises:
            MeetingNotFound: there is none for this tenant.
        """
        async with self._database.connect() as connection:
            row = (await connection.execute(select(table).where(_is(key)))).one_or_none()
        if row is None:
            raise MeetingNotFound(key.meeting_id)
        return _row(row)

    async def latest(self, tenant_id: str) -> QuickRow | None:
        """Return the newest recording of a tenant."""
        statement = select(table).where(table.c.tenant_id == tenant_id)
        statement = statement.order_by(table.c.create_time.desc(), table.c.meeting_id.desc()).limit(1)
        async with self._database.connect() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else _row(row)

    async def ask_to_stop(self, key: MeetingKey) -> None:
        """Note that somebody wants a recording to stop; one that is over stays as it is."""
        async with self._database.begin() as connection:
            await connection.execute(
                update(table)
                .where(_is(key), table.c.state == "recording")
                .values(stop_time=func.coalesce(table.c.stop_time, func.now()), check_time=func.now())
            )

    async def take_due(self, lease: timedelta, limit: int) -> Sequence[QuickRow]:
        """Return recordings that are to be looked at now; nobody else gets them before the lease is over."""
        due = (
            select(table.c.meeting_id)
            .where(table.c.state.in_(ACTIVE), table.c.check_time <= func.now())
            .order_by(table.c.check_time)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        taken = (
            update(table)
            .where(table.c.meeting_id.in_(due.scalar_subquery()))
            .values(check_time=func.now() + lease)
            .returning(table)
        )
        with across_tenants():
            async with self._database.begin() as connection:
                return [_row(row) for row in await connection.execute(taken)]

    async def move(self, before: QuickRow, after: QuickRow, pause: timedelta) -> bool:
        """Keep what has become of a recording, to be looked at again after a pause.

        Returns:
            Whether it was kept: a recording that has moved on since `before` stays as it is.
        """
        over = after.state not in ACTIVE
        async with self._database.begin() as connection:
            kept = await connection.execute(
                update(table)
                .where(_is(before.key), table.c.state == before.state)
                .values(
                    state=after.state,
                    error=after.error,
                    session_state=after.session_state,
                    end_time=func.now() if over else None,
                    check_time=None if over else func.now() + pause,
                )
            )
        return bool(kept.rowcount)


def _is(key: MeetingKey) -> Any:
    return (table.c.meeting_id == key.meeting_id) & (table.c.tenant_id == key.tenant_id)


def _row(row: Any) -> QuickRow:
    return QuickRow(
        meeting_id=row.meeting_id,
        tenant_id=row.tenant_id,
        url=row.url,
        duration_seconds=row.duration_seconds,
        transcribe=row.transcribe,
        upload_to_agent=row.upload_to_agent,
        create_time=row.create_time,
        state=row.state,
        error=row.error,
        session_state=row.session_state,
        stop_time=row.stop_time,
    )
