"""Answers that were given, by the request_id of those who asked: a repeated request gets the same one."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from store.models import idempotency_keys

OPERATORS = "operators"
"""Stands for the tenant where a call belongs to none."""

ANSWERS_KEPT = timedelta(days=7)
"""A request that is repeated later than this is a new one."""

_WAIT = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 1))")


class Answers:
    """The answers to one tenant's requests; `scope` is the RPC."""

    def __init__(self, tenant_id: str = OPERATORS) -> None:
        self._tenant_id = tenant_id

    async def recall(self, connection: AsyncConnection, scope: str, request_id: str) -> Mapping[str, Any] | None:
        """Return the answer that was given, None if the request is new.

        Equal requests wait here for each other until the caller's transaction ends.
        """
        await connection.execute(_WAIT, {"name": f"{self._tenant_id}/{scope}/{request_id}"})
        answer: dict[str, Any] | None = await connection.scalar(
            select(idempotency_keys.c.response).where(
                idempotency_keys.c.tenant_id == self._tenant_id,
                idempotency_keys.c.scope == scope,
                idempotency_keys.c.key == request_id,
            )
        )
        return answer

    async def remember(
        self, connection: AsyncConnection, scope: str, request_id: str, answer: Mapping[str, Any]
    ) -> None:
        """Keep the answer, in the transaction of what it tells about."""
        await connection.execute(
            insert(idempotency_keys)
            .values(tenant_id=self._tenant_id, scope=scope, key=request_id, response=dict(answer))
            .on_conflict_do_nothing()
        )


async def forget_answers(connection: AsyncConnection, before: datetime) -> int:
    """Drop the answers that were given before a moment, all tenants'; returns how many there were."""
    return (await connection.execute(delete(idempotency_keys).where(idempotency_keys.c.create_time < before))).rowcount
