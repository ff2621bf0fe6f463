"""The connector's SQL: connector_sessions with their transitions, and the operations that are under way.

Leases run by the database's clock, so that replicas whose clocks differ agree. Methods raise
`kit.db.engine.DatabaseUnavailable` when the database is away.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, Select, delete, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.clock import now
from kit.db.engine import Database
from services.connector.sessions.record import Record, SessionTaken, State, Transition, Wish
from store.models.connector_operations import connector_operations as operations
from store.models.connector_sessions import ACTIVE_STATES
from store.models.connector_sessions import connector_sessions as sessions
from store.models.connector_transitions import connector_transitions as transitions

LEASE = timedelta(seconds=10)
"""How long a session counts as held after its connector last said so, where nothing else is set."""
_SAME_MEETING = timedelta(hours=1)
"""A session that ended longer ago does not share its timeline with a new one."""

_RECORDER = text("SELECT pg_advisory_xact_lock(hashtextextended('connector_sessions:' || :meeting_id, 0))")


class SessionRepository:
    """Keeps records in PostgreSQL; see `Ledger`.

    Args:
        database: the database.
        owner: name of this replica.
        lease: how long a session counts as held after `save`.
    """

    def __init__(self, database: Database, owner: str, lease: timedelta = LEASE) -> None:
        self._database = database
        self._owner = owner
        self._lease = lease

    async def create(self, record: Record) -> Record:
        """Keep a new session, unless the meeting has one or the request made one."""
        async with self._database.begin() as connection:
            await connection.execute(_RECORDER, {"meeting_id": record.meeting_id})
            there = _of(record.tenant_id, record.meeting_id)
            if record.request_id:
                made = await connection.execute(there.where(sessions.c.request_id == record.request_id))
                if row := made.mappings().first():
                    return _record(row)
            active = await connection.execute(there.where(sessions.c.state.in_(ACTIVE_STATES)))
            if row := active.mappings().first():
                return _record(row)
            began = await connection.execute(
                select(func.min(sessions.c.start_time_ms)).where(
                    sessions.c.tenant_id == record.tenant_id,
                    sessions.c.meeting_id == record.meeting_id,
                    sessions.c.start_time_ms > 0,
                    sessions.c.update_time > func.clock_timestamp() - _SAME_MEETING,
                )
            )
            start_time_ms = record.start_time_ms or began.scalar() or 0
            values = {**self._columns(record), "start_time_ms": start_time_ms}
            await connection.execute(insert(sessions).values(id=record.session_id, **values))
            first = Transition(1, record.create_time, State.IDLE, record.state, record.reason)
            await _take_steps(connection, record.session_id, [first])
            row = (await connection.execute(_one(record.session_id))).mappings().one()
            return _record(row, steps=1)

    async def save(self, record: Record, steps: Sequence[Transition] = ()) -> None:
        """Keep what has become of a session, and that its connector is alive."""
        await self._save(record, steps, self._columns(record))

    async def release(self, record: Record, steps: Sequence[Transition] = ()) -> None:
        """Keep what has become of a session and let another replica take it up."""
        columns = {**self._columns(record), "owner": "", "lease_until": func.clock_timestamp()}
        await self._save(record, steps, columns)

    async def claim(self, record: Record, reason: str) -> Record | None:
        """Take a session up whose connector is gone."""
        async with self._database.begin() as connection:
            state = sessions.c.state
            taken = await connection.execute(
                update(sessions)
                .where(
                    sessions.c.id == record.session_id,
                    sessions.c.epoch == record.epoch,
                    state.in_(ACTIVE_STATES),
                    sessions.c.lease_until < func.clock_timestamp(),
                )
                .values(
                    epoch=sessions.c.epoch + 1,
                    owner=self._owner,
                    lease_until=func.clock_timestamp() + self._lease,
                    last_seen_time=func.clock_timestamp(),
                    state=State.RECONNECTING,
                    reason=reason,
                    update_time=now(),
                    wish="",
                )
                .returning(sessions.c.id)
            )
            if taken.first() is None:
                return None
            last = await connection.execute(
                select(func.coalesce(func.max(transitions.c.ordinal), 0)).where(
                    transitions.c.session_id == record.session_id
                )
            )
            ordinal = int(last.scalar_one()) + 1
            step = Transition(ordinal, now(), record.state, State.RECONNECTING, reason)
            await _take_steps(connection, record.session_id, [step])
            row = (await connection.execute(_one(record.session_id))).mappings().one()
            return _record(row, steps=ordinal)

    async def find(self, tenant_id: str, meeting_id: str) -> Record | None:
        """Return the latest session of a meeting."""
        query = _of(tenant_id, meeting_id).order_by(sessions.c.create_time.desc(), sessions.c.id.desc()).limit(1)
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        return _record(row) if row else None

    async def page(
        self,
        tenant_id: str,
        size: int,
        before: tuple[datetime, str] | None,
        *,
        provider: str = "",
        active: bool = False,
    ) -> Sequence[Record]:
        """Return sessions, newest first, that were created before the given time and id."""
        query = (
            _selected()
            .where(sessions.c.tenant_id == tenant_id)
            .order_by(sessions.c.create_time.desc(), sessions.c.id.desc())
            .limit(size)
        )
        if before is not None:
            query = query.where(tuple_(sessions.c.create_time, sessions.c.id) < before)
        if provider:
            query = query.where(sessions.c.provider == provider)
        if active:
            query = query.where(sessions.c.state.in_(ACTIVE_STATES))
        async with self._database.connect() as connection:
            return [_record(row) for row in (await connection.execute(query)).mappings()]

    async def transitions(self, session_ids: Sequence[str], most: int | None) -> Mapping[str, Sequence[Transition]]:
        """Return the steps of sessions, newest first."""
        place = func.row_number().over(partition_by=transitions.c.session_id, order_by=transitions.c.ordinal.desc())
        ranked = select(transitions, place.label("place")).where(transitions.c.session_id.in_(session_ids)).subquery()
        query = select(ranked).order_by(ranked.c.session_id, ranked.c.place)
        if most is not None:
            query = query.where(ranked.c.place <= most)
        found: dict[str, list[Transition]] = defaultdict(list)
        async with self._database.connect() as connection:
            for row in (await connection.execute(query)).mappings():
                found[row["session_id"]].append(
                    Transition(row["ordinal"], row["time"], State(row["before"]), State(row["after"]), row["reason"])
                )
        return found

    async def stale(self, limit: int, provider: str = "") -> Sequence[Record]:
        """Return sessions that are not over and whose connector is gone."""
        query = (
            _selected()
            .where(sessions.c.state.in_(ACTIVE_STATES), sessions.c.lease_until < func.clock_timestamp())
            .order_by(sessions.c.lease_until)
            .limit(limit)
        )
        if provider:
            query = query.where(sessions.c.provider == provider)
        async with self._database.connect() as connection:
            return [_record(row) for row in (await connection.execute(query)).mappings()]

    async def ask(self, record: Record, wish: Wish, reason: str) -> None:
        """Ask the replica that holds a session for something; leaving is not taken back by a later wish."""
        asked = update(sessions).where(sessions.c.id == record.session_id, sessions.c.state.in_(ACTIVE_STATES))
        if wish is not Wish.LEAVE:
            asked = asked.where(sessions.c.wish != Wish.LEAVE)
        async with self._database.begin() as connection:
            await connection.execute(asked.values(wish=wish, wish_reason=reason))

    async def wishes(self) -> Sequence[tuple[str, Wish, str]]:
        """Take what others ask of this replica's sessions."""
        query = (
            select(sessions.c.id, sessions.c.wish, sessions.c.wish_reason)
            .where(
                sessions.c.owner == self._owner,
                sessions.c.state.in_(ACTIVE_STATES),
                sessions.c.wish != "",
            )
            .with_for_update()
        )
        async with self._database.begin() as connection:
            asked = [(row.id, Wish(row.wish), row.wish_reason) for row in await connection.execute(query)]
            if asked:
                ours = [session_id for session_id, _, _ in asked]
                await connection.execute(
                    update(sessions).where(sessions.c.id.in_(ours)).values(wish="", wish_reason="")
                )
        return asked

    async def _save(self, record: Record, steps: Sequence[Transition], columns: dict[str, Any]) -> None:
        async with self._database.begin() as connection:
            kept = await connection.execute(
                update(sessions)
                .where(sessions.c.id == record.session_id, sessions.c.epoch == record.epoch)
                .values(**columns)
                .returning(sessions.c.id)
            )
            if kept.first() is None:
                raise SessionTaken
            await _take_steps(connection, record.session_id, steps)

    def _columns(self, record: Record) -> dict[str, Any]:
        return {
            "meeting_id": record.meeting_id,
            "tenant_id": record.tenant_id,
            "provider": record.provider,
            "url": record.url,
            "language": record.language,
            "state": record.state,
            "reason": record.reason,
            "owner": self._owner,
            "epoch": record.epoch,
            "lease_until": func.clock_timestamp() + self._lease,
            "attempts": record.attempts,
            "request_id": record.request_id or None,
            "create_time": record.create_time,
            "joined_time": record.joined_time,
            "last_seen_time": func.clock_timestamp(),
            "update_time": record.update_time,
            "end_time": record.end_time,
            "start_time_ms": record.start_time_ms,
            "met": record.met,
            "cursor": record.cursor,
        }


class OperationRepository:
    """Keeps which operation on a meeting is under way; see `services.connector.operations`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, meeting_id: str, operation: str, holder: str, seconds: float) -> str:
        """Begin an operation; returns the one that is under way instead, empty if there was none."""
        until = func.clock_timestamp() + timedelta(seconds=seconds)
        async with self._database.begin() as connection:
            mine = await connection.execute(
                insert(operations)
                .values(meeting_id=meeting_id, operation=operation, holder=holder, until_time=until)
                .on_conflict_do_update(
                    index_elements=[operations.c.meeting_id],
                    set_={"operation": operation, "holder": holder, "until_time": until},
                    where=operations.c.until_time < func.clock_timestamp(),
                )
                .returning(operations.c.holder)
            )
            if mine.first() is not None:
                return ""
            there = await connection.execute(
                select(operations.c.operation).where(operations.c.meeting_id == meeting_id)
            )
            return str(there.scalar() or operation)

    async def end(self, meeting_id: str, holder: str) -> None:
        """End an operation, if it is still the holder's."""
        async with self._database.begin() as connection:
            await connection.execute(
                delete(operations).where(operations.c.meeting_id == meeting_id, operations.c.holder == holder)
            )


def _selected() -> Select[Any]:
    return select(sessions, (sessions.c.lease_until > func.clock_timestamp()).label("held"))


def _of(tenant_id: str, meeting_id: str) -> Select[Any]:
    return _selected().where(sessions.c.tenant_id == tenant_id, sessions.c.meeting_id == meeting_id)


def _one(session_id: str) -> Select[Any]:
    return _selected().where(sessions.c.id == session_id)


async def _take_steps(connection: AsyncConnection, session_id: str, steps: Sequence[Transition]) -> None:
    if steps:
        rows = [
            {
                "session_id": session_id,
                "ordinal": step.ordinal,
                "time": step.time,
                "before": step.before,
                "after": step.after,
                "reason": step.reason,
            }
            for step in steps
        ]
        await connection.execute(insert(transitions).values(rows).on_conflict_do_nothing())


def _record(row: RowMapping, *, steps: int = 0) -> Record:
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
        epoch=row["epoch"],
        held=bool(row["held"]),
        last_seen_time=row["last_seen_time"],
        start_time_ms=row["start_time_ms"],
        met=row["met"],
        cursor=row["cursor"],
        steps=steps,
        wish=Wish(row["wish"]),
    )
