"""The mesh under fire: PostgreSQL and every room as processes, replicas among them, and a link for every caller."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2

from mesh.keys import Keys
from mesh.rooms import Room, on_free_ports
from tests.chaos.calls.call import Doors
from tests.chaos.disk import Disk, open_disk
from tests.chaos.link import HOST, Link, open_link
from tests.chaos.postgres import Postgres, open_postgres
from tests.chaos.process import RoomProcess

ROOT = Path(__file__).resolve().parents[2]
KEYS = Keys("chaos-user-key-8d2f", "chaos-service-key-41ac")
LEASE_SECONDS = 3.0
_START_SECONDS = 90.0
_MODULES = {
    "stt": "services.stt",
    "report": "services.report",
    "ingest": "services.ingest",
    "connector": "services.connector",
    "gateway": "gateway",
}
_CALLED = {
    "stt": (),
    "report": ("postgres",),
    "ingest": ("postgres", "stt", "report", "connector", "ingest"),
    "connector": ("postgres", "ingest", "gateway"),
    "gateway": ("ingest", "stt", "report", "connector"),
    "calls": ("ingest", "gateway"),
}
"""Who calls whom."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is set up."""

    directory: Path
    """For everything; what is in it survives the run."""
    replicas: int = 2
    """Of ingest and of stt."""
    disk_mebibytes: int = 96
    pace: float = 4.0
    ingest_module: str = _MODULES["ingest"]
    settings: Mapping[str, str] | None = None
    """Variables over ours."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """What runs."""

    processes: Sequence[RoomProcess]
    links: Sequence[Link]
    postgres: Postgres
    disk: Disk
    blobs: Path
    doors: Doors

    def replicas(self, room: str) -> list[RoomProcess]:
        """The processes of a room."""
        return [process for process in self.processes if process.room == room]

    async def serving(self) -> None:
        """Wait until the gateway reaches every room.

        Raises:
            TimeoutError: it does not.
        """
        async with (
            asyncio.timeout(_START_SECONDS),
            httpx2.AsyncClient(base_url=self.doors.gateway, timeout=5, trust_env=False) as http,
        ):
            while True:
                try:
                    if (await http.get("/health")).is_success:
                        return
                except httpx2.TransportError:
                    pass
                await asyncio.sleep(0.1)

    def mend(self) -> None:
        """Take every fault back that lasts; who is dead is started again anyway."""
        for link in self.links:
            link.mend()
        self.disk.free()


@asynccontextmanager
async def open_mesh(plan: Plan) -> AsyncIterator[Mesh]:
    """Run the mesh for the block; every room serves when it is entered."""
    logs = plan.directory / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    rooms = _rooms(plan.replicas)
    async with AsyncExitStack() as stack:
        disk = stack.enter_context(open_disk(plan.directory / "disk", plan.disk_mebibytes))
        postgres = stack.enter_context(open_postgres(plan.directory))
        links = {
            (caller, called): await stack.enter_async_context(open_link(f"{caller}>{called}", port))
            for caller, called, port in _connections(rooms, postgres.port)
        }
        blobs = plan.directory / "blobs"
        common = {
            **_common(),
            "STORAGE_PATH": str(blobs),
            "INGEST_JOURNAL_PATH": str(disk.path / "journals"),
            **(plan.settings or {}),
        }
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        processes = []
        for name, room in rooms.items():
            environment = {
                **common,
                **_own(name, room, links, postgres),
                "AGENT_DATA_DIR": str(plan.directory / "data" / name),
            }
            module = plan.ingest_module if room.name == "ingest" else room.module
            process = RoomProcess(name, module, environment, logs / f"{name}.log")
            processes.append(process)
            supervising = tasks.create_task(process.supervise(), name=f"chaos.{name}")
            stack.callback(supervising.cancel)
        doors = Doors(
            ingest=_target("calls", "ingest", links),
            gateway=f"http://{_link('calls', 'gateway', links).address}",
            user_key=KEYS.user,
            service_key=KEYS.service,
            pace=plan.pace,
        )
        mesh = Mesh(processes, list(links.values()), postgres, disk, blobs, doors)
        await mesh.serving()
        yield mesh


def _rooms(replicas: int) -> dict[str, Room]:
    """Every replica by name, on ports of its own, in the order of starting."""
    counts = {"stt": replicas, "ingest": replicas}
    wanted = [
        (f"{name}-{number}" if name in counts else name, Room(name, module, "grpc", 1, 1, 1))
        for name, module in _MODULES.items()
        for number in range(1, counts.get(name, 1) + 1)
    ]
    placed = on_free_ports(room for _, room in wanted)
    return {
        name: room if room.name == "gateway" else replace(room, http_port=None)
        for (name, _), room in zip(wanted, placed, strict=True)
    }


def _connections(rooms: Mapping[str, Room], postgres: int) -> list[tuple[str, str, int]]:
    """Who calls whom on which port; one link each."""
    found = []
    for caller in [*rooms, "calls"]:
        for called in _CALLED[caller.partition("-")[0]]:
            if called == "postgres":
                found.append((caller, called, postgres))
            for name, room in rooms.items():
                if room.name == called and not (called == "ingest" and caller.startswith("ingest")):
                    found.append((caller, name, room.http_port or room.port))
    # Replicas reach each other where each says it is reached: one address for all of them.
    found += [("replicas", name, room.port) for name, room in rooms.items() if room.name == "ingest"]
    return found


def _own(name: str, room: Room, links: Mapping[tuple[str, str], Link], postgres: Postgres) -> dict[str, str]:
    """The variables of one replica: where it listens, and how it reaches the others."""
    prefix = room.name.upper()
    variables = {f"{prefix}_METRICS_LISTEN": f"{HOST}:{room.metrics_port}"}
    if room.http_port is None:
        variables[f"{prefix}_LISTEN"] = room.address
    else:
        variables = {f"{prefix}_LISTEN": f"{HOST}:{room.http_port}", f"{prefix}_GRPC_LISTEN": room.address}
    for called in _CALLED[room.name]:
        if called == "postgres":
            variables["DATABASE_URL"] = postgres.url_through(_link(name, called, links).port)
        elif called == "gateway":
            variables["GATEWAY_URL"] = f"http://{_link(name, called, links).address}"
        elif called != room.name:
            variables[f"{called.upper()}_TARGET"] = _target(name, called, links)
    if room.name == "ingest":
        variables["INGEST_ADVERTISE"] = _link("replicas", name, links).address
    return variables


def _link(caller: str, called: str, links: Mapping[tuple[str, str], Link]) -> Link:
    return links[caller, called]


def _target(caller: str, room: str, links: Mapping[tuple[str, str], Link]) -> str:
    """One gRPC target for every replica of a room."""
    addresses = [link.address for (one, called), link in links.items() if one == caller and called.startswith(room)]
    return ",".join(addresses)


def _common() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'gen'}",
        "API_KEYS": KEYS.user,
        "SERVICE_API_KEYS": KEYS.service,
        "STORAGE_MODE": "shared_fs",
        "STT_PROVIDER": "demo",
        "STT_THREADS": "1",
        "GRPC_GRACE_SECONDS": "5",
        "INGEST_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
        "INGEST_MIN_FREE_MB": "4",
    }
