"""The event engine is chosen before gRPC is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, kit, grpc
async def main():
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await channel.channel_ready()
    await server.stop(None)
asyncio.run(main())
"""


def sources_of_traffic(tmp_path: Path, **environment: str) -> str:
    """Run a server and a client in a fresh process; return what gRPC traces of the connection."""
    root = Path(__file__).parents[3]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    paths = os.pathsep.join([str(root), str(root / "gen")])
    debug = {"GRPC_VERBOSITY": "DEBUG", "GRPC_TRACE": "tcp,event_engine_endpoint", "PYTHONPATH": paths}
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**inherited, **debug, **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return finished.stderr


@pytest.mark.parametrize("choice", ["environment", "dotenv"])
def test_it_is_off_until_asked_for(tmp_path: Path, choice: str) -> None:
    traced = sources_of_traffic(tmp_path)
    assert "tcp_posix.cc" in traced
    assert "posix_endpoint.cc" not in traced
    if choice == "environment":
        traced = sources_of_traffic(tmp_path, GRPC_EVENT_ENGINE="true")
    else:
        (tmp_path / ".env").write_text("GRPC_EVENT_ENGINE=true\n")
        traced = sources_of_traffic(tmp_path)
    assert "posix_endpoint.cc" in traced
    assert "tcp_posix.cc" not in traced


def test_processes_can_be_started_beside_it() -> None:
    """With gRPC's fork handlers one child in fifty aborted between fork and exec."""
    program = "import os, kit; print(os.environ['GRPC_ENABLE_FORK_SUPPORT'])"
    root = Path(__file__).parents[3]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=inherited, capture_output=True, text=True, check=True
    )
    assert found.stdout == "0\n"


def test_it_is_known_when_it_comes_too_late() -> None:
    program = "import grpc, kit; from kit.rpc import event_engine; print(event_engine.apply())"
    root = Path(__file__).parents[3]
    late = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert late.stdout == "False\n"
