"""The rooms of a mesh: what to start, in which order, and on which ports."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.util import find_spec

HOST = "127.0.0.1"
FREE_PORTS = range(20_000, 32_768)
"""Below what the kernel gives to connections by itself: seconds pass until a room binds what was found free."""


@dataclass(frozen=True, slots=True)
class Room:
    """One process of the mesh.

    Attributes:
        name: name of the room, also the prefix of its variables.
        module: Python package that `python -m` starts.
        needs: a package that only this room's extra installs.
        port: port of its gRPC server.
        metrics_port: port of its Prometheus endpoint; the gateway serves /metrics on its HTTP port instead.
        http_port: port of its HTTP server, if it has one.
    """

    name: str
    module: str
    needs: str
    port: int
    metrics_port: int | None = None
    http_port: int | None = None

    @property
    def address(self) -> str:
        """Address of the gRPC server, `host:port`."""
        return f"{HOST}:{self.port}"

    @property
    def installed(self) -> bool:
        """Whether the room's extra is installed."""
        return find_spec(self.needs) is not None

    def environment(self) -> dict[str, str]:
        """The variables that put the room on its ports and tell the others where it is."""
        prefix = self.name.upper()
        variables = {f"{prefix}_TARGET": self.address}
        if self.http_port is None:
            variables[f"{prefix}_LISTEN"] = self.address
        else:
            variables |= {
                f"{prefix}_LISTEN": f"{HOST}:{self.http_port}",
                f"{prefix}_GRPC_LISTEN": self.address,
                f"{prefix}_URL": f"http://{HOST}:{self.http_port}",
            }
        if self.metrics_port is not None:
            variables[f"{prefix}_METRICS_LISTEN"] = f"{HOST}:{self.metrics_port}"
        return variables


# In the order of starting: who is called stands before who calls.
ROOMS = (
    Room("stt", "services.stt", "faster_whisper", 8022, 9022),
    Room("report", "services.report", "razdel", 8024, 9024),
    Room("ingest", "services.ingest", "sqlalchemy", 8021, 9021),
    Room("connector", "services.connector", "aiortc", 8023, 9023),
    Room("gateway", "gateway", "starlette", 8011, None, 8010),
)


def on_free_ports(rooms: Iterable[Room]) -> tuple[Room, ...]:
    """The same rooms on ports that nobody uses now, so that several meshes run side by side."""
    ports = (port for port in random.sample(FREE_PORTS, len(FREE_PORTS)) if not _taken(port))
    return tuple(
        replace(
            room,
            port=next(ports),
            metrics_port=None if room.metrics_port is None else next(ports),
            http_port=None if room.http_port is None else next(ports),
        )
        for room in rooms
    )


def taken_ports(rooms: Iterable[Room]) -> list[tuple[Room, int]]:
    """The ports of these rooms that another program listens on."""
    return [
        (room, port)
        for room in rooms
        for port in filter(None, (room.port, room.metrics_port, room.http_port))
        if _taken(port)
    ]


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False
