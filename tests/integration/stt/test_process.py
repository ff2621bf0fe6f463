"""The room as a process: models from a hub, the cache after it, and clear sentences when there is none."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.clock import monotonic
from tests.fakes.model_hub import MODEL, running_hub

_ROOT = Path(__file__).parents[3]
_SECONDS = 30.0


@contextmanager
def _room(home: Path, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    inherited = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG")}
    variables = {
        "PYTHONPATH": f"{_ROOT}:{_ROOT / 'gen'}",
        "AUTH_MODE": "none",
        "STT_LISTEN": "127.0.0.1:0",
        "STT_METRICS_LISTEN": "127.0.0.1:0",
        "STT_THREADS": "1",
        "HF_HOME": str(home),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "services.stt"],
        cwd=home,
        env=inherited | variables | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    guard = threading.Timer(_SECONDS, process.kill)
    guard.start()
    try:
        yield process
    finally:
        guard.cancel()
        process.kill()
        process.communicate()


def _lines_until(process: "subprocess.Popen[str]", event: str) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(str(json.loads(line)["event"]))
        if lines[-1] == event:
            return lines
    assert process.stderr is not None
    raise AssertionError(f"the room ended before {event}: {process.stderr.read()}")


def test_a_model_of_the_hub_is_downloaded_before_serving_and_kept(tmp_path: Path) -> None:
    with running_hub() as hub, _room(tmp_path, STT_MODEL=MODEL, HF_ENDPOINT=hub) as room:
        events = _lines_until(room, "rpc_listening")
        room.send_signal(signal.SIGTERM)
        assert room.wait(_SECONDS) == 0
    downloads = [event for event in events if event.startswith("model_") or event == "engine_ready"]
    assert [downloads[0], *downloads[-2:]] == ["model_download_started", "model_downloaded", "engine_ready"]
    with _room(tmp_path, STT_MODEL=MODEL, STT_OFFLINE="true") as room:
        assert "model_download_started" not in _lines_until(room, "rpc_listening")


def test_whoever_started_the_room_is_told_how_far_a_download_is(tmp_path: Path) -> None:
    address = str(tmp_path / "notices")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(address)
        notices.settimeout(_SECONDS)
        told: list[str] = []
        with (
            running_hub(bytes_per_second=700_000) as hub,
            _room(tmp_path, STT_MODEL=MODEL, HF_ENDPOINT=hub, NOTIFY_SOCKET=address),
        ):
            while not told or not told[-1].startswith("STATUS=loading "):
                status, patience = notices.recv(4096).decode().splitlines()
                assert patience == "EXTEND_TIMEOUT_USEC=120000000"
                told.append(status)
    shares = [re.fullmatch(r"STATUS=downloading \S+: ([\d.]+) of [12]\.\d MiB \((\d+) %\)", one) for one in told[:-1]]
    percents = [int(share[2]) for share in shares if share]
    assert len(percents) >= 2
    assert percents == sorted(set(percents))


def test_a_download_that_was_cut_off_is_gone_on_with(tmp_path: Path) -> None:
    with running_hub() as hub:
        for _ in range(2):
            with _room(tmp_path, STT_MODEL=MODEL, HF_ENDPOINT=hub) as room:
                assert "model_download_started" in _lines_until(room, "rpc_listening")
                room.send_signal(signal.SIGTERM)
                assert room.wait(_SECONDS) == 0
            [weights] = (tmp_path / "hub").glob("models--*/snapshots/*/model.bin")
            weights.unlink()


@pytest.mark.parametrize("hub", ["http://127.0.0.1:9", "http://hub.invalid"], ids=["refused", "unknown name"])
def test_a_hub_that_cannot_be_reached_ends_the_start_soon_and_clearly(tmp_path: Path, hub: str) -> None:
    started = monotonic()
    with _room(tmp_path, STT_MODEL="small", HF_ENDPOINT=hub) as room:
        output, problem = room.communicate(timeout=_SECONDS)
    assert room.returncode == 1
    assert "rpc_listening" not in output
    assert re.fullmatch(
        r"stt: STT_MODEL=small is neither a directory nor in the cache, .*STT_PROVIDER=demo .*\n", problem
    )
    assert monotonic() - started < 15.0


def test_wrong_settings_end_the_start_with_a_line_each(tmp_path: Path) -> None:
    with _room(tmp_path, STT_BEAM_SIZE="0", STT_THREADS="-1") as room:
        _, problem = room.communicate(timeout=_SECONDS)
    assert room.returncode == 1
    assert [line.split(":")[:2] for line in problem.splitlines()] == [
        ["stt", " STT_THREADS"],
        ["stt", " STT_BEAM_SIZE"],
    ]
