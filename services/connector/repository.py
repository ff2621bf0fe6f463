"""The connector's SQL: connector_sessions."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from kit.clock import now
from kit.db.engine import Database
from services.connector.sessions.record import Record, State
from store.models.connector_sessions import ACTIVE_STATES, connector_sessions

LEASE = timedelta(seconds=30)
"""How long a session counts as alive after its connector last said so."""

_RECORDER = text("SELECT pg_advisory_xact_lock(hashtextextended('connector_sessions:' || :meeting_id, 0))")


class SessionRepository:
    """Keeps records in PostgreSQL; see `Ledger`.

    Args:
        database: the database.
        owner: name of this replica.
    """

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    async def create(self, record: Record) -> Record:
        """Keep a new session; a session whose connector is gone makes way, and is written down as failed."""
        table = connector_sessions
        async with self._database.begin() as connection:
            await connection.execute(_RECORDER, {"meeting_id": record.meeting_id})
            if record.request_id:
                made = await connection.execute(
                    select(table).where(
                        table.c.tenant_id == record.tenant_id,
                        table.c.meeting_id == record.meeting_id,
                        table.c.request_id == record.request_id,
                    )
                )
                if row := made.mappings().first():
                    return _record(row)
            await connection.execute(
                update(table)
                .where(
                    table.c.meeting_id == record.meeting_id,
                    table.c.state.in_(ACTIVE_STATES),
                    table.c.lease_until < now(),
                )
                .values(state=State.FAILED, reason="its connector is gone", update_time=now(), end_time=now())
            )
            there = await connection.execute(
                select(table).where(
                    table.c.tenant_id == record.tenant_id,
                    table.c.meeting_id == record.meeting_id,
                    table.c.state.in_(ACTIVE_STATES),
                )
            )
            if row := there.mappings().first():
                return _record(row)
            await connection.execute(insert(table).values(**self._columns(record)))
        return record

    async def save(self, record: Record) -> None:
        """Keep what has become of a session, and that its connector is alive."""
        columns = self._columns(record)
        key = columns.pop("id")
        async with self._database.begin() as connection:
            await connection.execute(update(connector_sessions).where(connector_sessions.c.id == key).values(**columns))

    async def find(self, tenant_id: str, meeting_id: str) -> Record | None:
        """Return the latest session of a meeting."""
        table = connector_sessions
        query = (
            select(table)
            .where(table.c.tenant_id == tenant_id, table.c.meeting_id == meeting_id)
            .order_by(table.c.create_time.desc(), table.c.id.desc())
            .limit(1)
        )
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        return _record(row) if row else None

    async def page(self, tenant_id: str, size: int, before: tuple[datetime, str] | None) -> Sequence[Record]:
        """Return sessions, newest first, that were created before the given time and id."""
        table = connector_sessions
        query = (
            select(table)
            .where(table.c.tenant_id == tenant_id)
            .order_by(table.c.create_time.desc(), table.c.id.desc())
            .limit(size)
        )
        if before is not None:
            query = query.where(tuple_(table.c.create_time, table.c.id) < before)
        async with self._database.connect() as connection:
            return [_record(row) for row in (await connection.execute(query)).mappings()]

    def _columns(self, record: Record) -> dict[str, Any]:
        alive = now()
        return {
            "id": record.session_id,
            "meeting_id": record.meeting_id,
            "tenant_id": record.tenant_id,
            "provider": record.provider,
            "url": record.url,
            "language": record.language,
            "state": record.state,
            "reason": record.reason,
            "owner": self._owner,
            "lease_until": alive + LEASE,
            "attempts": record.attempts,
            "request_id": record.request_id or None,
            "create_time": record.create_time,
            "joined_time": record.joined_time,
            "last_seen_time": alive,
            "update_time": record.update_time,
            "end_time": record.end_time,
        }


def _record(row: RowMapping) -> Record:
    return Record(
        session_id=row["id"],
        meeting_id=row["meeting_id"],
        tenant_id=row["tenant_id"],
        provider=row["provider"],
        url=row["url"],
        language=row["language"],
        request_id=row["request_id"] or "",
        create_time=row["create_time"],
        update_time=row["update_time"] or row["create_time"],
        state=State(row["state"]),
        reason=row["reason"],
        attempts=row["attempts"],
        joined_time=row["joined_time"],
        end_time=row["end_time"],
    )
