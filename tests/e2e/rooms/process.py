"""A room as a process of its own: `python -m <module>`, its log, its health, its end.

    async with room_process("stt", GRPC_GRACE_SECONDS="4") as stt:
        ...                                   # it serves; stt.address says where
        code, seconds = await stt.stop()      # SIGTERM

Whatever a test is about: when the block ends, no key and no password stands in anything that the process wrote.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from kit.rpc.client import open_channel
from kit.rpc.status import error_of
from tests.kit_server import eventually, health_stub
from tests.postgres import fresh_url

ROOT = Path(__file__).resolve().parents[3]
MODULES = {
    "stt": "services.stt",
    "ingest": "services.ingest",
    "connector": "services.connector",
    "report": "services.report",
    "gateway": "gateway",
}
ROOMS = tuple(MODULES)
STORED = ("ingest", "connector", "report")
"""Rooms that need a database."""

USER_KEY = "user-key-2f6c1b7e"
SERVICE_KEY = "service-key-9ad04e33"
UNKNOWN_KEY = "unknown-key-51c8d2aa"
_START_SECONDS = 40.0
_END_SECONDS = 30.0


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit status (negative: the signal that killed it) and what it had to say."""

    status: int
    seconds: float
    output: str
    errors: str

    @property
    def sentences(self) -> list[str]:
        """The lines on stderr."""
        return self.errors.splitlines()

    @property
    def stopping_seconds(self) -> float:
        """Time from the signal to the room's last line; what Python takes to end on a loaded machine is not in it."""
        times = {line["event"]: datetime.fromisoformat(line["timestamp"]) for line in log_lines(self.output)}
        return (times["stopped"] - times["shutdown_requested"]).total_seconds()

    @property
    def events(self) -> list[str]:
        """What its log lines are about."""
        return [str(line["event"]) for line in log_lines(self.output)]


class RoomProcess:
    """A room that was started."""

    def __init__(self, room: str, process: asyncio.subprocess.Process, directory: Path) -> None:
        self.room = room
        self.directory = directory
        self._process = process

    @property
    def pid(self) -> int:
        """Process identifier."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What stands on its standard output so far."""
        return (self.directory / "stdout").read_text()

    @property
    def errors(self) -> str:
        """What stands on its standard error so far."""
        return (self.directory / "stderr").read_text()

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its log lines so far."""
        return log_lines(self.output)

    @property
    def address(self) -> str:
        """Where its gRPC server is."""
        return str(self._told("rpc_listening", "address"))

    @property
    def url(self) -> str:
        """Where its HTTP server is."""
        return str(self._told("http_listening", "url"))

    async def serving(self) -> None:
        """Wait until its health says so, and HTTP is there if the room has any."""
        event = "http_listening" if self.room == "gateway" else "rpc_listening"
        await eventually(lambda: self._ended() or self._told(event, "event") is not None, _START_SECONDS)
        assert not self._ended(), self.output + self.errors
        async with open_channel(self.address, api_key=None) as channel:

            async def serves() -> bool:
                answer = await health_stub(channel).Check(
                    health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=20
                )
                return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

            await eventually(serves, _START_SECONDS)

    async def stop(self) -> Ended:
        """Send SIGTERM and wait for the end."""
        self._process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> Ended:
        """Wait for the end."""
        began = time.monotonic()
        async with asyncio.timeout(_END_SECONDS):
            status = await self._process.wait()
        return Ended(status, time.monotonic() - began, self.output, self.errors)

    def _ended(self) -> bool:
        return self._process.returncode is not None

    def _told(self, event: str, field: str) -> Any:
        return next((line[field] for line in self.log if line.get("event") == event), None)


def log_lines(output: str) -> list[dict[str, Any]]:
    """Read log lines; the last one may not be whole yet. Anything else on standard output fails."""
    return [json.loads(line) for line in output.splitlines(keepends=True) if line.endswith("\n")]


@contextmanager
def build_directory() -> Iterator[Path]:
    """Give the block a directory that PostgreSQL's own user can reach; pytest's directories are ours alone."""
    (ROOT / "build").mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="e2e-", dir=ROOT / "build"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def room_process(room: str, **settings: str) -> AsyncIterator[RoomProcess]:
    """Start a room for the block and wait until it serves."""
    async with started(room, **settings) as process:
        await process.serving()
        yield process


@asynccontextmanager
async def started(room: str, **settings: str) -> AsyncIterator[RoomProcess]:
    """Start a room for the block, on free ports, with a database if it needs one; an empty setting unsets a default."""
    with build_directory() as directory, _database(room, settings) as database:
        environment = {**_environment(room, directory), **database, **settings}
        with (directory / "stdout").open("wb") as output, (directory / "stderr").open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", MODULES[room], cwd=directory, env=environment, stdout=output, stderr=errors,
                stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        opened = RoomProcess(room, process, directory)
        try:
            yield opened
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            check_secrets(opened.output + opened.errors, database.get("DATABASE_URL", ""))


def check_secrets(text: str, url: str = "") -> None:
    """Fail when a key or the database's password stands in `text`."""
    password = url.partition("@")[0].rpartition(":")[2]
    for secret in filter(None, (USER_KEY, SERVICE_KEY, UNKNOWN_KEY, password)):
        assert secret not in text, f"a secret stands in what was written: {secret[:6]}..."


@contextmanager
def _database(room: str, settings: dict[str, str]) -> Iterator[dict[str, str]]:
    if room not in STORED or "DATABASE_URL" in settings:
        yield {}
        return
    with fresh_url() as url:
        yield {"DATABASE_URL": url}


def _environment(room: str, directory: Path) -> dict[str, str]:
    prefix = room.upper()
    nowhere = {f"{other.upper()}_TARGET": "127.0.0.1:1" for other in ROOMS}
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'gen'}",
        "AGENT_DATA_DIR": str(directory / "data"),
        "API_KEYS": USER_KEY,
        "SERVICE_API_KEYS": SERVICE_KEY,
        "STT_PROVIDER": "mock",
        "STT_THREADS": "1",
        "INGEST_MIN_FREE_MB": "1",
        f"{prefix}_LISTEN": "127.0.0.1:0",
        f"{prefix}_METRICS_LISTEN": "127.0.0.1:0",
        "GATEWAY_GRPC_LISTEN": "127.0.0.1:0",
        **nowhere,
    }


def problem_of(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str]:
    """Return the code and the reason that a caller sees."""
    problem = error_of(error)
    return problem.code, problem.reason
