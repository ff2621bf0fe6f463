"""The breakers' SQL: one row per provider and base, changed under its lock, and every change of state.

Times are the database's, so that replicas whose clocks differ see one breaker. Methods raise
`kit.db.engine.DatabaseUnavailable` when the database is away.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import RowMapping, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db.engine import Database
from services.connector.breakers.breaker import Breaker, BreakerChange, BreakerState
from store.models import breaker_changes as changes
from store.models import breakers

_HISTORY = 20
_KEPT = 100


class BreakerRepository:
    """Keeps breakers in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def change(self, name: str, base: str, rule: Callable[[Breaker, datetime], Breaker], reason: str) -> Breaker:
        """Apply a rule to a breaker under its lock; returns what it made of it. What the rule raises goes through.

        Args:
            name: of the breaker.
            base: address that it guards.
            rule: gets the breaker and the present moment.
            reason: of a change of state, for the history; the last error if empty.
        """
        async with self._database.begin() as connection:
            moment = await self._moment(connection)
            before = await self._locked(connection, name, base, moment)
            after = rule(before, moment)
            if after != before:
                await self._save(connection, after)
            if after.state is not before.state:
                await self._note(connection, after, moment, reason or after.last_error)
        return after

    async def succeeded(self, name: str, base: str) -> None:
        """Close a breaker that counted failures; the many others are not even locked."""
        async with self._database.connect() as connection:
            row = await connection.execute(
                select(breakers.c.name).where(breakers.c.name == name, breakers.c.base == base, breakers.c.failures > 0)
            )
            if row.first() is None:
                return
        await self.change(name, base, lambda breaker, moment: breaker.closed(moment), "probe")

    async def all(self, name: str = "") -> Sequence[Breaker]:
        """Return the breakers that were ever needed, of one name if it is given."""
        query = select(breakers).order_by(breakers.c.name, breakers.c.base)
        if name:
            query = query.where(breakers.c.name == name)
        async with self._database.connect() as connection:
            moment = await self._moment(connection)
            return [_breaker(row, moment) for row in (await connection.execute(query)).mappings()]

    async def history(self, name: str) -> Sequence[BreakerChange]:
        """Return the latest changes of state of a provider's breakers, newest first."""
        query = select(changes).where(changes.c.name == name).order_by(changes.c.sequence.desc()).limit(_HISTORY)
        async with self._database.connect() as connection:
            rows = (await connection.execute(query)).mappings()
            return [BreakerChange(row["time"], BreakerState(row["state"]), row["reason"]) for row in rows]

    async def now(self) -> datetime:
        """Return the database's present moment."""
        async with self._database.connect() as connection:
            return await self._moment(connection)

    async def _locked(self, connection: AsyncConnection, name: str, base: str, moment: datetime) -> Breaker:
        await connection.execute(
            insert(breakers).values(name=name, base=base, since_time=moment).on_conflict_do_nothing()
        )
        query = select(breakers).where(breakers.c.name == name, breakers.c.base == base).with_for_update()
        return _breaker((await connection.execute(query)).mappings().one(), moment)

    async def _save(self, connection: AsyncConnection, breaker: Breaker) -> None:
        await connection.execute(
            breakers.update()
            .where(breakers.c.name == breaker.name, breakers.c.base == breaker.base)
            .values(
                state=breaker.state,
                failures=breaker.failures,
                first_failure_time=breaker.first_failure,
                since_time=breaker.since,
                probe_time=breaker.probe_time,
                last_error=breaker.last_error,
            )
        )

    async def _note(self, connection: AsyncConnection, breaker: Breaker, moment: datetime, reason: str) -> None:
        await connection.execute(
            insert(changes).values(
                name=breaker.name, base=breaker.base, time=moment, state=breaker.state, reason=reason
            )
        )
        newest = (
            select(changes.c.sequence)
            .where(changes.c.name == breaker.name)
            .order_by(changes.c.sequence.desc())
            .limit(_KEPT)
        )
        await connection.execute(
            delete(changes).where(changes.c.name == breaker.name, changes.c.sequence.not_in(newest))
        )

    @staticmethod
    async def _moment(connection: AsyncConnection) -> datetime:
        moment: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
        return moment


def _breaker(row: RowMapping, moment: datetime) -> Breaker:
    return Breaker(
        name=row["name"],
        base=row["base"],
        since=row["since_time"] or moment,
        state=BreakerState(row["state"]),
        failures=row["failures"],
        first_failure=row["first_failure_time"],
        probe_time=row["probe_time"],
        last_error=row["last_error"],
    )
