"""A mesh on this machine: PostgreSQL, keys and every room, for as long as a block runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from kit.db.embedded import EmbeddedPostgres, open_embedded
from kit.lifecycle import StartError
from kit.rpc.certificates import read_material
from kit.settings import DatabaseSettings, TlsSettings, load
from kit.telemetry import logs
from mesh.address_book import book_of, remove_address_book, write_address_book
from mesh.certificates import COMMANDS, tls_of
from mesh.child import Child, ChildFailed
from mesh.claim import claimed
from mesh.https import HttpsSettings
from mesh.keys import Keys, KeySettings, keys_for
from mesh.rooms import ROOMS, Room, on_free_ports, taken_ports
from mesh.starting import all_serving

CONNECT_TRIES = 100
CONNECT_PAUSE_SECONDS = 0.1
POSTGRES_CHECK_SECONDS = 0.5
GRACE_SECONDS = 25.0  # more than a room's own grace


@dataclass(frozen=True, slots=True)
class Mesh:
    """What runs and how to reach it."""

    rooms: tuple[Room, ...]
    children: tuple[Child, ...]
    keys: Keys
    data: Path
    database_url: str = ""
    """Address of the database that was started with the rooms, empty if it is somebody else's."""
    tls: TlsSettings | None = None
    """With what the rooms are called; None: in plain."""
    https: HttpsSettings = field(default_factory=HttpsSettings)
    """Whether the gateway's HTTP server speaks TLS."""
    started: float = field(default_factory=time.monotonic)

    def room(self, name: str) -> Room:
        """The room of this name."""
        return next(room for room in self.rooms if room.name == name)

    @property
    def url(self) -> str:
        """Address of the gateway's HTTP server."""
        gateway = self.room("gateway")
        return f"{self.https.scheme}://127.0.0.1:{gateway.http_port}"

    @property
    def pids(self) -> dict[str, int]:
        """Process identifier of each room that runs."""
        return {child.room.name: child.pid for child in self.children if child.pid is not None}


@asynccontextmanager
async def open_mesh(
    data: Path,
    *,
    free_ports: bool = False,
    environment: Mapping[str, str] | None = None,
    progress: Callable[[str], None] = lambda _: None,
    moving: Callable[[str], None] = lambda _: None,
    stop: asyncio.Event | None = None,
    certificates: Path | None = None,
) -> AsyncIterator[Mesh]:
    """Run every room for the block; all of them serve when the block is entered, all have drained when it is left.

    Args:
        data: directory for everything that is kept: database, journals, blobs, keys, logs.
        free_ports: whether to take any free ports instead of the documented ones.
        environment: variables for the rooms, over those of this process.
        progress: called with one short sentence per step.
        moving: called with a sentence about how far a step is, again and again.
        stop: gives up the start when it is set.
        certificates: directory of `agent certificates`: rooms talk over TLS, each with its own. If None, all of them
            do what GRPC_TLS_* say.

    Raises:
        StartError: a port is taken, a room's extra or certificate is missing, or another mesh has the directory.
        SettingsError: a setting is wrong, or a file that it names.
        ChildFailed: a room ended before it was ready.
        StartStopped: `stop` was set before every room was ready.
    """
    # The rooms keep logs; a person reads this process, and standard output is for results.
    logs.configure("agent", "warning", "console", stream=sys.stderr)
    rooms = on_free_ports(ROOMS) if free_ports else ROOMS
    refuse_what_cannot_start(rooms)
    key_settings, database, tls, https = load(KeySettings, DatabaseSettings, TlsSettings, HttpsSettings)
    own = {room.name: tls_of(certificates, room.name).environment() for room in rooms} if certificates else {}
    if environment and environment.get("GATEWAY_TLS_ENABLED") == "false":
        https = HttpsSettings(enabled=False)
    if certificates:
        tls = tls_of(certificates, COMMANDS)
    if tls.on:
        read_material(tls)  # says what is wrong with it once, before every room does
    data = data.absolute()
    data.mkdir(parents=True, exist_ok=True)
    (data / "logs").mkdir(exist_ok=True)
    postgres: EmbeddedPostgres | None = None
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(claimed(data))
        keys = keys_for(key_settings, data)
        variables = {"AGENT_DATA_DIR": str(data), **keys.environment(key_settings)}
        for room in rooms:
            variables |= room.environment()
        if https.on:
            # The certificate is made for a name; links and recorders need it, and nobody else can tell.
            variables["GATEWAY_URL"] = os.environ.get("GATEWAY_URL") or variables["GATEWAY_URL"].replace(
                "http", "https"
            )
        if database.database_url is None:
            progress("starting PostgreSQL")
            # In the main thread: the kernel's death signal is tied to the thread that starts the server.
            postgres = stack.enter_context(open_embedded(data))
            variables["DATABASE_URL"] = postgres.url
        variables |= environment or {}
        children = tuple(
            Child(room, variables | own.get(room.name, {}), data / "logs" / f"{room.name}.log", tls=tls)
            for room in rooms
        )
        async with asyncio.TaskGroup() as tasks:
            for child in children:
                tasks.create_task(child.supervise(), name=f"mesh.{child.room.name}")
            watch = tasks.create_task(_keep_running(postgres), name="mesh.postgresql")
            try:
                progress("starting " + ", ".join(room.name for room in rooms))
                mesh = Mesh(
                    rooms, children, keys, data, postgres.url if postgres else "", tls if tls.on else None, https
                )
                await _ready(mesh, moving, stop)
                write_address_book(data, _addresses(mesh))
                yield mesh
            finally:
                # Callers first: whoever is called must outlive who calls, so that the last words are still written.
                for child in reversed(children):
                    await asyncio.shield(child.stop(GRACE_SECONDS))
                watch.cancel()
                remove_address_book(data)


def refuse_what_cannot_start(rooms: Sequence[Room]) -> None:
    """Say in one sentence what stands in the way of these rooms.

    Raises:
        StartError: a room's extra is not installed or a port is taken.
    """
    missing = [room.name for room in rooms if not room.installed]
    if missing:
        extras = ",".join(missing)
        raise StartError(f"not installed: {', '.join(missing)}; run: pip install 'interview-analytics-agent[{extras}]'")
    taken = taken_ports(rooms)
    if taken:
        ports = ", ".join(f"{port} ({room.name})" for room, port in taken)
        raise StartError(
            f"ports in use: {ports}; is another mesh running? Stop it, or start this one with --free-ports"
        )


def _addresses(mesh: Mesh) -> dict[str, str]:
    own = {"url": mesh.url, "user_key": mesh.keys.user, "service_key": mesh.keys.service}
    if mesh.database_url:
        own["database_url"] = mesh.database_url
    if mesh.tls is not None:
        own |= book_of(mesh.tls)
    return own | {room.name: room.address for room in mesh.rooms}


async def _keep_running(postgres: EmbeddedPostgres | None) -> None:
    """Start PostgreSQL again when somebody has ended it; in this thread, to which its death signal is tied."""
    while postgres is not None:
        await asyncio.sleep(POSTGRES_CHECK_SECONDS)
        if postgres.pid is None:
            postgres.start()


class StartStopped(Exception):
    """Somebody changed their mind before every room was ready."""


async def _ready(mesh: Mesh, moving: Callable[[str], None], stop: asyncio.Event | None) -> None:
    """Wait until every room serves and is connected.

    Raises:
        StartError: a room does not come further.
        StartStopped: `stop` was set before.
    """

    async def give_up(wanted: asyncio.Event) -> None:
        await wanted.wait()
        raise StartStopped

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(give_up(stop), name="mesh.stop") if stop is not None else None
        await all_serving(mesh.children, moving=moving)
        await _all_connected(mesh)
        if waiting is not None:
            waiting.cancel()


async def _all_connected(mesh: Mesh) -> None:
    """Wait until the gateway reaches every room: it started beside them, and may be between two tries to connect."""
    async with httpx2.AsyncClient(timeout=5, trust_env=False, verify=mesh.https.trust()) as http:
        for _ in range(CONNECT_TRIES):
            with contextlib.suppress(httpx2.HTTPError):
                if (await http.get(f"{mesh.url}/health")).is_success:
                    return
            await asyncio.sleep(CONNECT_PAUSE_SECONDS)
    raise StartError(f"the gateway does not reach every room; see {mesh.data / 'logs'}")


def why_it_failed(failure: ChildFailed) -> str:
    """The sentence for a room that ended before it was ready: its own, if it left one."""
    child = failure.child
    words = child.last_words()
    own = [word for word in words if word.startswith(f"{child.room.name}: ")]
    if own:
        return "\n".join(own)
    return f"{failure}; its last words (all of them in {child.log}):\n  " + "\n  ".join(words[-6:])
