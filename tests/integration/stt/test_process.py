"""The room as a process: models from a hub, the cache after it, and clear sentences when there is none."""

import hashlib
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from kit.clock import monotonic
from services.stt.models import tiny_whisper_directory

_ROOT = Path(__file__).parents[3]
_COMMIT = "0123456789abcdef0123456789abcdef01234567"
_MODEL = "somebody/small-model"
_SECONDS = 30.0


class _Hub(http.server.BaseHTTPRequestHandler):
    """As much of the model hub's protocol as a download needs, with our own model behind it."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        return

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        files = {file.name: file.read_bytes() for file in tiny_whisper_directory().iterdir() if file.suffix != ".py"}
        if path.startswith(f"/api/models/{_MODEL}/tree/"):
            entries = [
                {"type": "file", "path": name, "size": len(data), "oid": _digest(data)} for name, data in files.items()
            ]
            self._send(json.dumps(entries).encode())
        elif path.startswith(f"/api/models/{_MODEL}"):
            siblings = [{"rfilename": name} for name in files]
            self._send(json.dumps({"id": _MODEL, "sha": _COMMIT, "siblings": siblings}).encode())
        elif (name := path.rpartition("/")[2]) in files:
            self._send(files[name], ETag=f'"{_digest(files[name])}"', **{"X-Repo-Commit": _COMMIT})
        else:
            self.send_error(404)

    def _send(self, body: bytes, **headers: str) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _digest(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


@contextmanager
def _running_hub() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


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
    with _running_hub() as hub, _room(tmp_path, STT_MODEL=_MODEL, HF_ENDPOINT=hub) as room:
        events = _lines_until(room, "rpc_listening")
        room.send_signal(signal.SIGTERM)
        assert room.wait(_SECONDS) == 0
    downloads = [event for event in events if event.startswith("model_") or event == "engine_ready"]
    assert [downloads[0], *downloads[-2:]] == ["model_download_started", "model_downloaded", "engine_ready"]
    with _room(tmp_path, STT_MODEL=_MODEL, STT_OFFLINE="true") as room:
        assert "model_download_started" not in _lines_until(room, "rpc_listening")


def test_a_download_that_was_cut_off_is_gone_on_with(tmp_path: Path) -> None:
    with _running_hub() as hub:
        for _ in range(2):
            with _room(tmp_path, STT_MODEL=_MODEL, HF_ENDPOINT=hub) as room:
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
