"""What the report room tells its operator: the checks it stands on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kit.errors import AppError
from kit.ops.sources import Check


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


class RoomWatch:
    """Asks the database and the blob store how they are."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    async def readiness(self) -> Sequence[Check]:
        """Checks of the database and of the blob store; both are needed to build and to serve."""
        return [await self._check_database(), await self._check_blobs()]

    async def _check_database(self) -> Check:
        try:
            await self._database.ping()
        except AppError as error:
            return Check("postgresql", False, f"{error.message}; check DATABASE_URL and the server")
        return Check("postgresql", True)

    async def _check_blobs(self) -> Check:
        health = await self._blobs.check_health()
        return Check("storage", health.ok, health.error)
