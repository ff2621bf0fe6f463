"""Operations: joins, leaves and reconnects of one meeting exclude each other, on whichever replica they are asked for.

A lock is a row with a time to live, so that a replica that dies in the middle of one holds nobody up for long.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from kit.errors import Unavailable
from kit.ids import new_id
from kit.telemetry import logs
from services.connector.errors import OperationInProgress

log = logs.get()


class OperationStore(Protocol):
    """Keeps the rows; see `services.connector.repository.OperationRepository`. Methods raise Unavailable."""

    async def begin(self, meeting_id: str, operation: str, holder: str, seconds: float) -> str: ...

    async def end(self, meeting_id: str, holder: str) -> None: ...


class Operations:
    """Locks on meetings.

    Args:
        store: keeps them for all replicas.
        seconds: how long an operation counts at most.
    """

    def __init__(self, store: OperationStore, seconds: float) -> None:
        self._store = store
        self._seconds = seconds

    @asynccontextmanager
    async def held(self, meeting_id: str, operation: str, *, must: bool = True) -> AsyncIterator[None]:
        """Hold the meeting's lock for the block.

        Args:
            meeting_id: the meeting.
            operation: "join", "leave" or "reconnect".
            must: whether the operation has to fail without a database; it may leave a call without one.

        Raises:
            OperationInProgress: another operation on the meeting is under way.
            Unavailable: the database is away, and `must`.
        """
        holder = new_id()
        try:
            under_way = await self._store.begin(meeting_id, operation, holder, self._seconds)
        except Unavailable:
            if must:
                raise
            log.warning("operation_not_locked", operation=operation)
            under_way = ""
        if under_way:
            raise OperationInProgress(meeting_id=meeting_id, operation=under_way)
        try:
            yield
        finally:
            # A call that is cancelled gives its lock back all the same.
            await asyncio.shield(asyncio.ensure_future(self._end(meeting_id, holder)))

    async def _end(self, meeting_id: str, holder: str) -> None:
        try:
            await self._store.end(meeting_id, holder)
        except Unavailable:
            log.info("operation_lock_left")  # it runs out by itself
