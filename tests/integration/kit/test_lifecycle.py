"""The life of a process, seen from outside: signals, exit codes, what stands on stderr."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOM = """
import asyncio, sys
import kit.lifecycle as lifecycle
from kit.auth.authenticator import make_authenticator
from kit.room import open_room
from kit.settings import AuthSettings, CoreSettings, RpcSettings, load

async def main(shutdown):
    core, auth, rpc = load(CoreSettings, AuthSettings, RpcSettings)
    async with open_room("test", listen="127.0.0.1:0", metrics_listen="127.0.0.1:0", services=[],
                         auth=make_authenticator(auth, core), shutdown=shutdown, rpc=rpc) as room:
        print("serving", type(asyncio.get_running_loop()).__module__, flush=True)
        await room.stopped()

sys.exit(lifecycle.run("test", main))
"""

STUCK = """
import asyncio, sys
import kit.lifecycle as lifecycle

async def main(shutdown):
    print("serving", flush=True)
    await asyncio.Event().wait()

sys.exit(lifecycle.run("test", main, stop_seconds=float(sys.argv[1])))
"""

FAILING = """
import asyncio, sys
import kit.lifecycle as lifecycle

async def fail():
    raise {error}

async def main(shutdown):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fail())

sys.exit(lifecycle.run("test", main))
"""


@contextmanager
def started(tmp_path: Path, program: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    root = Path(__file__).parents[3]
    paths = os.pathsep.join([str(root), str(root / "gen")])
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": paths, **environment},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for_line(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"no {text!r} before the end")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_room_ends_in_order_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path, ROOM, API_KEYS="a-key") as process:
        assert "uvloop" in wait_for_line(process, "serving ")
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert err == ""
    assert '"event": "shutdown_requested"' in out
    assert '"event": "stopped"' in out


def test_wrong_settings_are_one_line_each_and_exit_1(tmp_path: Path) -> None:
    with started(tmp_path, ROOM, APP_ENV="moon", AUTH_MODE="magic", GRPC_GRACE_SECONDS="soon") as process:
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert [line.split(":")[:2] for line in err.splitlines()] == [
        ["test", " APP_ENV"],
        ["test", " AUTH_MODE"],
        ["test", " GRPC_GRACE_SECONDS"],
    ]


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    with started(tmp_path, STUCK, "60") as process:
        wait_for_line(process, "serving")
        process.send_signal(signal.SIGTERM)
        wait_for_line(process, "shutdown_requested")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert err == "test: SIGTERM again: not waiting any longer\n"


def test_a_room_that_does_not_stop_is_ended(tmp_path: Path) -> None:
    with started(tmp_path, STUCK, "0.1") as process:
        wait_for_line(process, "serving")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert err == "test: did not stop within 0.1 s of SIGTERM\n"


@pytest.mark.parametrize("kind", ["lifecycle.StartError", "__import__('kit.errors').errors.Unavailable"])
def test_a_start_that_fails_says_one_sentence(tmp_path: Path, kind: str) -> None:
    with started(tmp_path, FAILING.format(error=f"{kind}('the port is taken')")) as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err, out) == (1, "test: the port is taken\n", "")


def test_a_crash_is_logged_with_its_traceback(tmp_path: Path) -> None:
    with started(tmp_path, FAILING.format(error="ValueError('a bug')")) as process:
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert '"event": "crashed"' in out
    assert "ValueError: a bug" in out


@pytest.mark.parametrize("masked", [True, False])
def test_personal_data_in_a_crash_is_masked_when_that_is_asked_for(tmp_path: Path, masked: bool) -> None:
    program = FAILING.format(error="ValueError('no mailbox anna@example.org')")
    with started(tmp_path, program, PII_MASKING_ENABLED=str(masked).lower(), SERVICE_API_KEYS="k") as process:
        out, err = process.communicate(timeout=30)
    assert "crashed" in out
    assert ("anna@example.org" in out + err) is not masked
    assert ("no mailbox <email " in out) is masked
