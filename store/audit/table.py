"""The table of the audit trail: rows in one chain, whoever appends them; read, checked and cut."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.audit.chain import CUT, RETENTION_METHOD, ChainCheck, ChainedDecision, fit, hash_of
from kit.audit.decision import Decision
from kit.clock import now
from kit.db.engine import Database
from kit.db.tenancy import across_tenants
from kit.ids import new_id
from kit.ops.sources import AuditQuestion
from kit.telemetry import logs
from store.models import security_audit_events as events

_LOCK = text("SELECT pg_advisory_xact_lock(7310254194)")
"""Taken before the end of the chain is read, kept until the rows behind it are committed: one batch at a time."""

_READ_ROWS = 1000

log = logs.get()


class AuditStore:
    """Appends to the chain, reads it, checks it and cuts it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction on the chain, which runs through all tenants."""
        with across_tenants():
            async with self._database.begin() as connection:
                yield connection

    async def append(self, decisions: Sequence[Decision]) -> None:
        """Write decisions behind the last row, all or none.

        Raises:
            DatabaseUnavailable: not now.
        """
        async with self._transaction() as connection:
            await connection.execute(_LOCK)
            await _append(connection, decisions)

    async def page(self, question: AuditQuestion, before: int | None, limit: int) -> list[ChainedDecision]:
        """See `kit.ops.sources.AuditLog`."""
        query = select(events).order_by(events.c.sequence.desc()).limit(limit)
        if before is not None:
            query = query.where(events.c.sequence < before)
        if question.outcome:
            query = query.where(events.c.outcome == question.outcome)
        if question.subject:
            query = query.where(events.c.subject == question.subject)
        if question.endpoint:
            query = query.where(events.c.endpoint.startswith(question.endpoint, autoescape=True))
        if question.start is not None:
            query = query.where(events.c.time >= question.start)
        if question.end is not None:
            query = query.where(events.c.time < question.end)
        async with self._transaction() as connection:
            return [_chained(row) for row in await connection.execute(query)]

    async def check(self) -> ChainCheck:
        """Check every row, up to the first that does not hold; `finish` was called on what is returned."""
        check, last = ChainCheck(), 0
        async with self._transaction() as connection:
            while True:
                query = select(events).where(events.c.sequence > last).order_by(events.c.sequence).limit(_READ_ROWS)
                rows = [_chained(row) for row in await connection.execute(query)]
                if not rows or not all(check.take(row) for row in rows):
                    check.finish()
                    return check
                last = rows[-1].sequence

    async def contains(self, row_hash: str) -> bool:
        """Return whether a row of this hash is there."""
        async with self._transaction() as connection:
            return await connection.scalar(select(events.c.id).where(events.c.hash == row_hash)) is not None

    async def cut(self, before: datetime) -> int:
        """Remove the rows in front of the first that is not older, and add one that tells of it.

        Returns:
            The number of rows removed.
        """
        async with self._transaction() as connection:
            await connection.execute(_LOCK)
            young = select(events.c.sequence).where(events.c.time >= before).order_by(events.c.sequence).limit(1)
            keep_from = await connection.scalar(young)
            old = events.c.sequence < keep_from if keep_from is not None else events.c.sequence > 0
            newest_old = select(events.c.hash).where(old).order_by(events.c.sequence.desc()).limit(1)
            cut_at = await connection.scalar(newest_old)
            if cut_at is None:
                return 0
            result = await connection.execute(delete(events).where(old).returning(events.c.id))
            removed = len(result.all())
            note = _retention(f"{CUT}{cut_at} after {removed} rows")
            await _append(connection, [note], prev_hash=cut_at if keep_from is None else None)
            return removed

    async def head(self) -> tuple[int, str]:
        """Return place and hash of the last row; (0, "") if there is none."""
        async with self._transaction() as connection:
            row = (await connection.execute(_LAST)).one_or_none()
        return (0, "") if row is None else (row.sequence, row.hash)


_LAST = select(events.c.sequence, events.c.hash).order_by(events.c.sequence.desc()).limit(1)


async def _append(connection: AsyncConnection, decisions: Sequence[Decision], *, prev_hash: str | None = None) -> None:
    if prev_hash is None:
        last = (await connection.execute(_LAST)).one_or_none()
        prev_hash = "" if last is None else last.hash
    rows: list[dict[str, Any]] = []
    for decision in map(fit, decisions):
        row_id = new_id()
        row_hash = hash_of(row_id, decision, prev_hash)
        rows.append(
            {
                "id": row_id,
                "time": decision.time,
                "outcome": decision.outcome,
                "endpoint": decision.endpoint,
                "method": decision.method,
                "subject": decision.subject,
                "auth_type": decision.auth_type,
                "reason": decision.reason,
                "tenant_id": decision.tenant_id,
                "prev_hash": prev_hash,
                "hash": row_hash,
            }
        )
        prev_hash = row_hash
    if rows:
        await connection.execute(insert(events), rows)


def _retention(reason: str) -> Decision:
    return Decision("allow", "security_audit_events", RETENTION_METHOD, "retention", "none", reason, "", now())


def _chained(row: Row[Any]) -> ChainedDecision:
    decision = Decision(
        row.outcome, row.endpoint, row.method, row.subject, row.auth_type, row.reason, row.tenant_id, row.time
    )
    return ChainedDecision(row.id, row.sequence, decision, row.prev_hash, row.hash)
