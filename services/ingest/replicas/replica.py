"""Replicas of this room: who this one is, for how long its word counts, and who keeps a meeting.

The database decides who should keep a meeting, by leases on its own clock: that is liveness. That a replica which is
too slow to notice its end does no harm is the fence's doing (`fence.py`), and no clock's.

Journals are *own*, one process' in one directory, or *shared*, where every replica sees all of them. An own replica
keeps its id beside its journals and is the same after a restart; nobody can go on for it. A shared one is new with
every process, and whoever finds its lease run out goes on with its meetings.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kit.errors import Unavailable
from kit.ids import new_id
from kit.lifecycle import StartError
from kit.telemetry import logs
from services.ingest.errors import MeetingElsewhere
from services.ingest.intake.session import MeetingKey

_ID_FILE = ".replica"
_LOCK_FILE = ".lock"
_RENEWALS_PER_LEASE = 3
_READY_SECONDS = 3.0
_RELEASE_SECONDS = 3.0

log = logs.get()


@dataclass(frozen=True, slots=True)
class Owner:
    """The replica that keeps a meeting."""

    replica_id: str
    address: str
    """Where other replicas reach it; empty when it is unknown."""
    mine: bool
    """Whether it is this one."""
    alive: bool = True
    """Whether its lease has not run out."""
    epoch: int = 0
    """How often the meeting was taken up so far, as far as the database knows."""


class Leases(Protocol):
    """What the store knows of replicas: `replica_repository.ReplicaRepository`."""

    async def renew(self, replica_id: str, address: str, seconds: float) -> None: ...

    async def release(self, replica_id: str) -> None: ...

    async def claim(self, key: MeetingKey, replica_id: str, *, shared: bool) -> Owner: ...

    async def owner(self, key: MeetingKey, replica_id: str) -> Owner | None: ...

    async def orphans(self, replica_id: str) -> list[MeetingKey]: ...


class Replicas:
    """This replica among the others; made by `open_replicas`."""

    def __init__(self, replica_id: str, leases: Leases, *, shared: bool, lease_seconds: float) -> None:
        self.id = replica_id
        self.shared = shared
        """Whether every replica sees every journal."""
        self.lease_seconds = lease_seconds
        self._leases = leases
        self._address = ""
        self._released = False
        self._announced = asyncio.Event()
        self._renewed = asyncio.Event()
        self._writing = asyncio.Lock()

    @property
    def renewal_seconds(self) -> float:
        """Time between two renewals of the lease."""
        return self.lease_seconds / _RENEWALS_PER_LEASE

    def announce(self, address: str) -> None:
        """Say where other replicas reach this one; from now on it has a lease and may claim."""
        self._address = address
        self._announced.set()

    async def claim(self, key: MeetingKey) -> Owner:
        """Return a meeting's owner; this replica becomes it if nobody who lives is.

        Raises:
            MeetingNotFound: there is no such meeting for this tenant.
            MeetingElsewhere: its owner's lease has run out, and nobody else sees that one's journals.
            DatabaseUnavailable: the database is away.
        """
        if not self._renewed.is_set():
            await self._first_lease()
        owner = await self._leases.claim(key, self.id, shared=self.shared)
        if not owner.mine and not owner.alive:
            raise MeetingElsewhere(key.meeting_id, owner.address)
        return owner

    async def owner(self, key: MeetingKey) -> Owner | None:
        """Return a meeting's owner, None if there is none that lives.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        owner = await self._leases.owner(key, self.id)
        return owner if owner is not None and (owner.mine or owner.alive) else None

    async def dead(self) -> list[MeetingKey]:
        """Return the meetings whose owner's lease has run out, and which this replica could go on with.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        return await self._leases.orphans(self.id) if self.shared else []

    async def release(self) -> None:
        """Let the lease end now, once every journal is put away: another replica need not wait for it."""
        if self._released or not self._renewed.is_set():
            return
        self._released = True
        with suppress(Unavailable, TimeoutError):  # then it runs out by itself
            async with asyncio.timeout(_RELEASE_SECONDS), self._writing:
                await self._leases.release(self.id)
                log.info("lease_released", replica_id=self.id)

    async def _first_lease(self) -> None:
        """Without a lease of our own the next one to look would take the meeting for a dead replica's."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await self._announced.wait()
        except TimeoutError:
            raise Unavailable("the replica is starting; try again", retry_after_seconds=1.0) from None
        await self._renew()

    async def _renew(self) -> None:
        async with self._writing:
            if not self._released:
                await self._leases.renew(self.id, self._address, self.lease_seconds)
                self._renewed.set()

    async def _renew_forever(self) -> None:
        """Renew the lease. One that is missed costs other replicas' patience at most: the fence keeps us honest."""
        await self._announced.wait()
        missed = 0
        while not self._released:
            try:
                async with asyncio.timeout(self.lease_seconds):
                    await self._renew()
                if missed:
                    log.info("lease_renewed_again", replica_id=self.id, missed=missed)
                missed = 0
            except (Unavailable, TimeoutError) as error:
                missed += 1
                log.warning("lease_not_renewed", replica_id=self.id, missed=missed, error=str(error))
            await asyncio.sleep(self.renewal_seconds)


@asynccontextmanager
async def open_replicas(
    leases: Leases, directory: Path, *, shared: bool, lease_seconds: float
) -> AsyncIterator[Replicas]:
    """Be a replica for the block; `announce` says when others may reach it. Its lease ends with the block.

    Args:
        leases: where leases are; the database may be away.
        directory: of the journals; made as needed.
        shared: whether every replica sees this directory. If not, this process holds it alone.
        lease_seconds: time without a renewal after which another replica may take up this one's meetings.

    Raises:
        StartError: the directory cannot be used, or it is another process's.
    """
    with _held(directory, shared=shared) as replica_id:
        replicas = Replicas(replica_id, leases, shared=shared, lease_seconds=lease_seconds)
        log.info("replica_opened", replica_id=replica_id, shared=shared)
        renewing = asyncio.create_task(replicas._renew_forever(), name="ingest.lease")
        try:
            yield replicas
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])
            await replicas.release()


@contextmanager
def _held(directory: Path, *, shared: bool) -> Iterator[str]:
    """Make the journals' directory and return the id of the replica that keeps its journals there.

    An own directory is held for the block: two processes with one id would believe each other to be themselves.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = -1 if shared else os.open(directory / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(f"the journals cannot be kept in {directory}: {error.strerror or error}") from error
    if shared:
        yield new_id()
        return
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartError(f"another process keeps its journals in {directory}") from None
        yield _kept_id(directory / _ID_FILE)
    finally:
        os.close(lock)


def _kept_id(path: Path) -> str:
    try:
        replica_id = path.read_text().strip()
    except FileNotFoundError:
        replica_id = ""
    if not replica_id:
        replica_id = new_id()
        written = path.with_suffix(".new")
        written.write_text(replica_id)
        written.replace(path)
    return replica_id
