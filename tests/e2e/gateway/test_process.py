"""The gateway as a process: it starts while every room is away, says so, and stops in order."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.kit_server import eventually

ROOT = Path(__file__).resolve().parents[3]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(directory: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'gen'}",
        "SERVICE_API_KEYS": "service-key-of-the-tests",
        **settings,
    }
    command = [sys.executable, "-m", "gateway"]
    with subprocess.Popen(
        command, cwd=directory, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        try:
            yield running
        finally:
            running.kill()


async def test_it_serves_while_the_rooms_are_away_and_stops_on_sigterm(tmp_path: Path):
    http, grpc = free_port(), free_port()
    away = {f"{room}_TARGET": f"127.0.0.1:{free_port()}" for room in ("INGEST", "STT", "CONNECTOR", "REPORT")}
    settings = {"GATEWAY_LISTEN": f"127.0.0.1:{http}", "GATEWAY_GRPC_LISTEN": f"127.0.0.1:{grpc}", **away}
    with process(tmp_path, **settings) as gateway:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{http}", timeout=10) as client:

            async def up() -> bool:
                try:
                    return (await client.get("/health")).status_code == 503
                except httpx2.TransportError:
                    return False

            await eventually(up, 30)
            health = (await client.get("/health")).json()
            assert health["status"] == "degraded"
            assert set(health["rooms"].values()) == {"away"}
            assert (await client.get("/")).status_code == 200, "the pages need no room"
        gateway.send_signal(signal.SIGTERM)
        output, errors = gateway.communicate(timeout=20)
    assert gateway.returncode == 0, output + errors
    assert '"event": "stopped"' in output


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"GATEWAY_ICE_SERVERS": "stun:x"}, "GATEWAY_ICE_SERVERS"),
        ({"GATEWAY_ROOM_MEMBERS": "1"}, "GATEWAY_ROOM_MEMBERS"),
        ({"GATEWAY_LISTEN": "nowhere"}, "GATEWAY_LISTEN: not an address"),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path: Path, settings: dict[str, str], sentence: str):
    ports = {"GATEWAY_LISTEN": "127.0.0.1:0", "GATEWAY_GRPC_LISTEN": "127.0.0.1:0"}
    with process(tmp_path, **{**ports, **settings}) as gateway:
        _, errors = gateway.communicate(timeout=30)
    assert gateway.returncode == 1
    assert sentence in errors
    assert "Traceback" not in errors
