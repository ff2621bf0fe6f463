"""What the report room tells its operator: the checks it stands on and the queue it works on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent.ops.v1 import ops_service_pb2 as ops
from kit.errors import AppError
from kit.ops.sources import Check
from kit.queue.job import QueueStats


class Health(Protocol):
    """Outcome of a probe of the blob store."""

    @property
    def ok(self) -> bool: ...

    @property
    def error(self) -> str: ...


class Blobs(Protocol):
    """Where files are kept."""

    async def check_health(self) -> Health: ...


class Database(Protocol):
    """Where everything else is kept."""

    async def ping(self) -> None: ...

    async def queue_stats(self) -> QueueStats: ...


class RoomWatch:
    """Asks the database and the blob store how they are."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    async def readiness(self) -> Sequence[Check]:
        """Checks of the database and of the blob store; both are needed to build and to serve."""
        return [await self._check_database(), await self._check_blobs()]

    async def queues(self) -> Sequence[ops.QueueStatus]:
        """The queue of builds."""
        try:
            stats = await self._database.queue_stats()
        except AppError as error:
            return [ops.QueueStatus(queue="report", error=error.message)]
        return [
            ops.QueueStatus(
                queue=stats.queue,
                depth=stats.depth,
                pending=stats.pending,
                dead=stats.dead,
                oldest_age_seconds=round(stats.oldest_age_seconds),
            )
        ]

    async def _check_database(self) -> Check:
        try:
            await self._database.ping()
        except AppError as error:
            return Check("postgresql", False, f"{error.message}; check DATABASE_URL and the server")
        return Check("postgresql", True)

    async def _check_blobs(self) -> Check:
        health = await self._blobs.check_health()
        return Check("storage", health.ok, health.error)
