"""The processes that are measured, and the processor time that each has used."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.process import cpu_seconds, free_port

KEY = "bench-key"
_STOP_SECONDS = 10.0


class Server:
    """A process under measurement."""

    def __init__(self, process: "subprocess.Popen[str]", address: str) -> None:
        self.address = address
        self._process = process

    @property
    def pid(self) -> int:
        """Process identifier."""
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far, of all its threads, user and system."""
        return cpu_seconds(self._process.pid)


@contextmanager
def running(module: str, environment: Mapping[str, str], log: Path, *, address: str = "") -> Iterator[Server]:
    """Run a module for the block; without an address it prints the port that it serves on first."""
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            env={**os.environ, "PYTHONPATH": os.pathsep.join((".", "gen")), **environment},
            stdout=output if address else subprocess.PIPE, stderr=output, text=True,
        )  # fmt: skip
    try:
        if process.stdout is not None:
            address = f"127.0.0.1:{process.stdout.readline().strip()}"
        yield Server(process, address)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def running_ingest(module: str, url: str, directory: Path, stt: str) -> Iterator[Server]:
    """Run an ingest room with a data directory of its own, on defaults wherever they matter here."""
    directory.mkdir(parents=True)
    address = f"127.0.0.1:{free_port()}"
    environment = {
        "AGENT_DATA_DIR": str(directory),
        "API_KEYS": KEY,
        "AUTH_MODE": "api_key",
        "DATABASE_URL": url,
        "INGEST_LISTEN": address,
        "INGEST_METRICS_LISTEN": f"127.0.0.1:{free_port()}",
        # Sessions stay open: sealing would run while others are measured.
        "INGEST_SESSION_TIMEOUT_SECONDS": "86400",
        "LOG_LEVEL": "warning",
        "REPORT_TARGET": "127.0.0.1:9",
        "SERVICE_API_KEYS": f"{KEY}-of-services",
        "STT_TARGET": stt,
    }
    with running(module, environment, directory / "log", address=address) as server:
        yield server
