"""Replicas: every process behind the rooms' targets, found again as they come and go.

gRPC picks one of them per call. Operators want to see all, so each is asked by its own address.
"""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kit.rpc.credentials import process_tls
from kit.settings import TlsSettings
from kit.settings.address import split_address
from kit.settings.target import replica_names
from kit.telemetry import logs

_REFRESH_SECONDS = 5.0
_RESOLVE_SECONDS = 5.0

log = logs.get()


@dataclass(frozen=True, slots=True)
class Replica:
    """One process of a room.

    Attributes:
        name: the room's, with `@` and the address where it has several replicas.
        target: where it is.
        server_name: what its certificate must bear if it is known by an address only; empty if `target` says it.
    """

    name: str
    target: str
    server_name: str = ""

    def tls(self) -> TlsSettings:
        """Return how to talk to it: as this process talks to everybody, under the name it is known by."""
        settings = process_tls()
        if not settings.on or settings.server_name or not self.server_name:
            return settings
        return settings.model_copy(update={"server_name": self.server_name})


class Replicas:
    """The replicas of every room as they were last found; `open_replicas` looks for them."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._targets = dict(targets)
        self._found: dict[str, tuple[Replica, ...]] = {
            room: (Replica(room, target),) for room, target in targets.items()
        }
        self._changed = asyncio.Event()

    @property
    def known(self) -> Mapping[str, Replica]:
        """Every replica by its name."""
        return {replica.name: replica for found in self._found.values() for replica in found}

    @property
    def rooms(self) -> Sequence[str]:
        """The rooms that have replicas."""
        return list(self._targets)

    def of(self, room: str) -> Sequence[Replica]:
        """Return the replicas of a room; at least one, there or not."""
        return self._found[room]

    async def changed(self) -> None:
        """Wait until others are known."""
        await self._changed.wait()

    async def look(self) -> None:
        """Find out who is there now; a room whose name cannot be resolved keeps those that were."""
        for room, target in self._targets.items():
            found = await _replicas(room, target)
            if found and found != self._found[room]:
                log.info("console_replicas", watched=room, replicas=len(found))
                self._found[room] = found
                self._changed.set()
                self._changed = asyncio.Event()


@asynccontextmanager
async def open_replicas(targets: Mapping[str, str]) -> AsyncIterator[Replicas]:
    """Keep looking for the replicas behind targets for the block.

    Args:
        targets: of each room, see `kit.settings.target`.
    """
    replicas = Replicas(targets)
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(_keep_looking(replicas), name="console.replicas")
        try:
            yield replicas
        finally:
            looking.cancel()


async def _keep_looking(replicas: Replicas) -> None:
    while True:
        await replicas.look()
        await asyncio.sleep(_REFRESH_SECONDS)


async def _replicas(room: str, target: str) -> tuple[Replica, ...]:
    """Return the replicas behind a target in the order of their addresses; none if it cannot be told now."""
    names = replica_names(target)
    if len(names) == 1 and (addresses := await _resolved(names[0])) is not None:
        host = split_address(names[0])[0]
        found = tuple(Replica(f"{room}@{address}", address, host) for address in addresses)
    else:
        found = tuple(Replica(f"{room}@{name}", name) for name in names)
    return found if len(found) != 1 else (Replica(room, target),)


async def _resolved(name: str) -> Sequence[str] | None:
    """Return the addresses that a `host:port` stands for; None if it is an address itself, or none that we can ask."""
    try:
        host, port = split_address(name)
    except ValueError:
        return None  # a socket of this machine, or what only gRPC understands
    if _is_address(host):
        return None
    try:
        async with asyncio.timeout(_RESOLVE_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        return ()
    hosts = {(family, str(address[0])) for family, _, _, _, address in found}
    # A name with addresses of both families is mostly one machine with two.
    family = min((family for family, _ in hosts), default=socket.AF_INET)
    return sorted(_joined(address, port) for one, address in hosts if one == family)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
