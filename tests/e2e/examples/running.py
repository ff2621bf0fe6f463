"""A mesh as people start it, for the clients of one file of tests: real rooms, the demonstration model, free ports."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mesh.address_book import read_address_book
from mesh.audio import SAMPLE_RATE_HERTZ, decoded
from tests.e2e.rooms.process import ROOT, build_directory

ALICE = ROOT / "examples" / "interview" / "en" / "alice.flac"
CLIENTS = ROOT / "examples" / "clients"
SECONDS = 20
_START_SECONDS = 120.0
_STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RunningMesh:
    """Where a mesh is.

    Attributes:
        url: address of the gateway.
        ingest: gRPC address of the ingest room.
        key: a user's key.
        data: its data directory.
    """

    url: str
    ingest: str
    key: str
    data: Path


@contextmanager
def running_mesh(**settings: str) -> Iterator[RunningMesh]:
    """Run `agent up` for the block."""
    with build_directory() as directory:
        data = directory / "data"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'gen'}",
            "AGENT_DATA_DIR": str(data),
            "STT_PROVIDER": "demo",
            "INGEST_MIN_FREE_MB": "1",
            **settings,
        }
        said = directory / "up.stderr"
        with said.open("wb") as errors:
            up = subprocess.Popen(
                [sys.executable, "-m", "mesh", "up", "--free-ports"],
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )
        try:
            deadline = time.monotonic() + _START_SECONDS
            while "ready: http" not in said.read_text():
                assert up.poll() is None, said.read_text()
                assert time.monotonic() < deadline, said.read_text()
                time.sleep(0.1)
            book = read_address_book(data)
            assert book is not None
            yield RunningMesh(book["url"], book["ingest"], book["user_key"], data)
        finally:
            up.send_signal(signal.SIGTERM)
            try:
                up.wait(_STOP_SECONDS)
            finally:
                up.kill()


def write_sample(path: Path, seconds: int = SECONDS) -> Path:
    """Write the first seconds of the sample interview's Alice as a WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HERTZ)
        file.writeframes(b"".join(piece for piece, _ in zip(decoded(ALICE), range(seconds), strict=False)))
    return path


class Program:
    """A client that runs; `output` has what it wrote so far."""

    def __init__(self, process: asyncio.subprocess.Process, reading: "asyncio.Task[None]", lines: list[str]) -> None:
        self.process = process
        self._reading = reading
        self._lines = lines

    @property
    def output(self) -> str:
        """What stands on its standard output and error so far."""
        return "".join(self._lines)

    async def ended(self, seconds: float = 90.0) -> str:
        """Wait for its happy end; returns all that it wrote."""
        try:
            async with asyncio.timeout(seconds):
                await self._reading
                status = await self.process.wait()
        finally:
            if self.process.returncode is None:
                self.process.kill()
        assert status == 0, self.output
        return self.output


async def start(*command: str, **environment: str) -> Program:
    """Start a client as its head comment says."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'gen'}", **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    lines: list[str] = []

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            lines.append(line.decode())

    return Program(process, asyncio.create_task(read(), name="example.read"), lines)
