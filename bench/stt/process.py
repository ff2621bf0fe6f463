"""The stt room as a process, its processor time and its memory."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import cpu_seconds, free_port

KEY = "bench-key-of-services"
_STOP_SECONDS = 15.0


class RoomProcess:
    """A room that was started."""

    def __init__(self, process: "subprocess.Popen[bytes]", address: str) -> None:
        self.address = address
        self._process = process

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far, of all its threads, user and system."""
        return cpu_seconds(self._process.pid)

    @property
    def memory_bytes(self) -> int:
        """Memory of its own that is not given back: resident, without what files hold."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1_024
        raise RuntimeError("the kernel does not tell a process's memory")


@contextmanager
def running_room(log: Path) -> Iterator[RoomProcess]:
    """Run the room with our own model for the block."""
    address = f"127.0.0.1:{free_port()}"
    environment = {
        "AUTH_MODE": "api_key",
        "LOG_LEVEL": "warning",
        "SERVICE_API_KEYS": KEY,
        "STT_LISTEN": address,
        "STT_METRICS_LISTEN": f"127.0.0.1:{free_port()}",
        "STT_PROVIDER": "demo",
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.stt"], stdout=output, stderr=output,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((".", "gen")), **environment},
        )  # fmt: skip
    try:
        yield RoomProcess(process, address)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
