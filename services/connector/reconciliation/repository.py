"""The SQL of reconciliation: connector_decisions."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, func, insert, select

from kit.db.engine import Database
from kit.db.tenancy import across_tenants
from services.connector.reconciliation.decision import Action, Decision, Source
from store.models.connector_decisions import connector_decisions as decisions

_KEPT = timedelta(days=30)


class DecisionRepository:
    """Keeps decisions in PostgreSQL for 30 days; see `DecisionLedger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, decision: Decision) -> None:
        """Write a decision down."""
        async with self._database.begin() as connection:
            await connection.execute(
                insert(decisions).values(
                    time=decision.time,
                    tenant_id=decision.tenant_id,
                    meeting_id=decision.meeting_id,
                    session_id=decision.session_id,
                    provider=decision.provider,
                    desired=decision.desired,
                    observed=decision.observed,
                    action=decision.action,
                    reason=decision.reason,
                    source=decision.source,
                )
            )

    async def page(
        self, tenant_id: str, size: int, before: int | None, *, provider: str = "", meeting_id: str = ""
    ) -> Sequence[Decision]:
        """Return the decisions on a tenant's sessions and on breakers, newest first, older than a sequence."""
        query = (
            select(decisions)
            .where(decisions.c.tenant_id.in_([tenant_id, ""]))
            .order_by(decisions.c.sequence.desc())
            .limit(size)
        )
        if before is not None:
            query = query.where(decisions.c.sequence < before)
        if provider:
            query = query.where(decisions.c.provider == provider)
        if meeting_id:
            query = query.where(decisions.c.meeting_id == meeting_id)
        async with self._database.connect() as connection:
            return [
                Decision(
                    provider=row["provider"],
                    desired=row["desired"],
                    observed=row["observed"],
                    action=Action(row["action"]),
                    reason=row["reason"],
                    source=Source(row["source"]),
                    time=row["time"],
                    tenant_id=row["tenant_id"],
                    meeting_id=row["meeting_id"],
                    session_id=row["session_id"],
                    sequence=row["sequence"],
                )
                for row in (await connection.execute(query)).mappings()
            ]

    async def forget(self) -> None:
        """Drop what is older than 30 days."""
        with across_tenants():
            async with self._database.begin() as connection:
                await connection.execute(delete(decisions).where(decisions.c.time < func.now() - _KEPT))
