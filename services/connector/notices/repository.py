"""The SQL of notices: connector_notices."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import RowMapping, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db.engine import Database
from kit.telemetry import logs
from services.connector.notices.notice import Call, Notice
from store.models.connector_notices import connector_notices
from store.models.meetings import meetings

log = logs.get()


class NoticeRepository:
    """Keeps notices in PostgreSQL; see `Notices`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, call: Call, notices: Sequence[Notice]) -> None:
        """Keep what became of participants."""
        table = connector_notices
        rows = [_columns(call, notice) for notice in notices]
        statement = insert(table)
        changed: dict[str, Any] = {name: statement.excluded[name] for name in ("display_name", "channel", "told_time")}
        # Another replica may have written a withdrawal meanwhile: what happened later stands.
        for name in ("withdrawn_time", "consented_time"):
            changed[name] = func.greatest(table.c[name], statement.excluded[name])
        statement = statement.on_conflict_do_update(
            index_elements=[table.c.session_id, table.c.participant_id], set_=changed
        )
        try:
            async with self._database.begin() as connection:
                if await _is_there(connection, call):
                    await connection.execute(statement, rows)
        except IntegrityError:  # erased between the two statements
            log.info("notices_of_erased_meeting_forgotten")

    async def of_session(self, tenant_id: str, session_id: str) -> Sequence[Notice]:
        """Return the notices of a session, in the order in which people were told."""
        table = connector_notices
        query = (
            select(table)
            .where(table.c.tenant_id == tenant_id, table.c.session_id == session_id)
            .order_by(table.c.told_time.asc().nulls_last(), table.c.participant_id)
        )
        async with self._database.connect() as connection:
            return [_notice(row) for row in (await connection.execute(query)).mappings()]

    async def withdrawals(self, session_ids: Collection[str]) -> Sequence[tuple[str, Notice]]:
        """Return who is not to be recorded in sessions, with the session of each."""
        table = connector_notices
        query = select(table).where(table.c.session_id.in_(session_ids), table.c.withdrawn_time.is_not(None))
        async with self._database.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        found = [(str(row["session_id"]), _notice(row)) for row in rows]
        return [(session_id, notice) for session_id, notice in found if notice.withdrawn]

    async def withdrawn(self, tenant_id: str, meeting_id: str) -> frozenset[str]:
        """Return who is not to be recorded, by the last that any session of the meeting heard of them."""
        table = connector_notices
        query = (
            select(table.c.participant_id)
            .where(table.c.tenant_id == tenant_id, table.c.meeting_id == meeting_id)
            .group_by(table.c.participant_id)
            .having(
                func.max(table.c.withdrawn_time) > func.coalesce(func.max(table.c.consented_time), func.to_timestamp(0))
            )
        )
        async with self._database.connect() as connection:
            return frozenset((await connection.execute(query)).scalars())


async def _is_there(connection: AsyncConnection, call: Call) -> bool:
    query = select(exists().where(meetings.c.id == call.meeting_id, meetings.c.tenant_id == call.tenant_id))
    return bool((await connection.execute(query)).scalar())


def _columns(call: Call, notice: Notice) -> dict[str, Any]:
    return {
        "session_id": call.session_id,
        "participant_id": notice.participant_id,
        "meeting_id": call.meeting_id,
        "tenant_id": call.tenant_id,
        "display_name": notice.display_name,
        "channel": notice.channel,
        "told_time": notice.told_time,
        "withdrawn_time": notice.withdrawn_time,
        "consented_time": notice.consented_time,
    }


def _notice(row: RowMapping) -> Notice:
    return Notice(
        participant_id=row["participant_id"],
        display_name=row["display_name"],
        channel=row["channel"],
        told_time=row["told_time"],
        withdrawn_time=row["withdrawn_time"],
        consented_time=row["consented_time"],
    )
