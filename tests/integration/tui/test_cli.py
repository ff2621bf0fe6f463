"""The program itself, started as an operator or a script starts it."""

import asyncio
import fcntl
import json
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.console.v1 import console_service_pb2 as pb
from tests.fakes.console_server import SERVICE_KEY, USER_KEY, ConsoleGateway, running_console
from tests.kit_server import eventually

ROOT = Path(__file__).parents[3]
HOSTILE = "\x1b]0;PWNED\x07title"


def a_mesh() -> ConsoleGateway:
    return ConsoleGateway(
        pb.ConsoleSession(meeting_id="m-live", title="Board prep", state="LIVE", words=1234),
        pb.ConsoleSession(meeting_id="m-failed", title=HOSTILE, state="FAILED", note="media never came"),
        pb.ConsoleRoom(room="ingest", state="serving", pid=4105),
        pb.ConsoleRoom(room="report", state="away", error="cannot be reached"),
        pb.ConsoleQueue(queue="deliver", depth=7, dead=3),
        pb.ConsoleBreaker(name="smtp", state="open", failures=5, threshold=5),
    )


def environment(directory: Path, **variables: str) -> Mapping[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}",
        "AGENT_DATA_DIR": str(directory),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        **variables,
    }


@asynccontextmanager
async def started(directory: Path, *arguments: str, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tui",
        *arguments,
        cwd=directory,
        env=environment(directory, **variables),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def outcome(directory: Path, *arguments: str, **variables: str) -> tuple[int, str, str]:
    """Run to the end; return exit code, standard output, standard error."""
    async with started(directory, *arguments, **variables) as process, asyncio.timeout(30):
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


async def test_sessions_are_listed_worst_first_and_harmless(tmp_path: Path) -> None:
    async with running_console(a_mesh()) as server:
        code, out, err = await outcome(tmp_path, "--target", server.address, "--key", SERVICE_KEY, "sessions")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["STATE", "MEETING", "ID", "VIA", "TRK", "LAG", "WORDS", "AGE", "TITLE", "NOTE"]
    assert lines[1].startswith("FAILED  m-failed")
    assert lines[2].startswith("LIVE    m-live")
    assert "1,234" in lines[2]
    assert out.replace("\n", "").isprintable()


async def test_json_has_the_contracts_names_and_one_object_per_line(tmp_path: Path) -> None:
    gateway = a_mesh()
    async with running_console(gateway) as server:
        given = {"GATEWAY_TARGET": server.address, "SERVICE_API_KEYS": f"{SERVICE_KEY},another"}
        code, out, _ = await outcome(tmp_path, "queues", "--json", **given)
        assert code == 0
        assert [json.loads(line) for line in out.splitlines()] == [
            {"queue": "deliver", "depth": 7, "pending": 0, "dead": 3, "oldest_age_seconds": 0, "error": ""}
        ]
        code, out, _ = await outcome(tmp_path, "rooms", "--json", **given)
        assert [json.loads(line)["state"] for line in out.splitlines()] == ["away", "serving"]
        code, out, _ = await outcome(tmp_path, "breakers", **given)
        assert "OPEN" in out
    assert [list(request.topics) for request in gateway.requests] == [["queues"], ["rooms"], ["breakers"]]


async def test_the_mesh_of_this_machine_needs_no_options(tmp_path: Path) -> None:
    async with running_console(a_mesh()) as server:
        book = {"pid": os.getpid(), "url": "", "gateway": server.address, "service_key": SERVICE_KEY, "user_key": ""}
        (tmp_path / "mesh.json").write_text(json.dumps(book))
        code, out, _ = await outcome(tmp_path, "rooms")
    assert code == 0
    assert "cannot be reached" in out


@pytest.mark.parametrize(
    ("key", "code", "sentence"),
    [
        (["--key", "wrong"], 4, "does not know the key from --key"),
        ([], 4, "wants a key and none was given"),
        (["--key", USER_KEY], 5, "may not watch the mesh"),
    ],
)
async def test_refused_keys_have_their_own_exit_codes(tmp_path: Path, key: list[str], code: int, sentence: str) -> None:
    async with running_console(a_mesh()) as server:
        ended, out, err = await outcome(tmp_path, "--target", server.address, *key, "sessions")
    assert (ended, out) == (code, "")
    assert sentence in err


async def test_nobody_at_the_address_is_exit_code_3_and_says_what_to_do(tmp_path: Path) -> None:
    code, out, err = await outcome(tmp_path, "--target", "127.0.0.1:1", "sessions", "--json")
    assert (code, out) == (3, "")
    assert err == (
        "agent-console: The gateway at 127.0.0.1:1 cannot be reached. Is the mesh running? Start it with `agent up`, "
        "or pass --target HOST:PORT (the gateway's gRPC port).\n"
    )


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (["bogus"], {}, "No such command"),
        (["--theme", "pink"], {}, "pink"),
        (["--key", "a", "--key-file", "b", "rooms"], {}, "exclude each other"),
        (["--key-file", "missing", "rooms"], {}, "cannot read the key file missing"),
        (["rooms"], {"SERVICE_API_KEYS_FILE": "missing"}, "SERVICE_API_KEYS_FILE: cannot read missing"),
        ([], {}, "the full screen needs a terminal"),
    ],
)
async def test_wrong_usage_is_exit_code_2(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], sentence: str
) -> None:
    code, out, err = await outcome(tmp_path, *arguments, **variables)
    assert (code, out) == (2, "")
    assert sentence in err


async def test_watching_writes_changes_until_it_is_interrupted(tmp_path: Path) -> None:
    gateway = a_mesh()
    async with (
        running_console(gateway) as server,
        started(tmp_path, "--target", server.address, "--key", SERVICE_KEY, "sessions", "--json", "--watch") as process,
        asyncio.timeout(30),
    ):
        assert process.stdout is not None
        first = [json.loads(await process.stdout.readline())["meeting_id"] for _ in range(2)]
        assert first == ["m-failed", "m-live"]
        await eventually(lambda: gateway.watched)
        gateway.put(pb.ConsoleSession(meeting_id="m-live", state="STALLED"))
        assert json.loads(await process.stdout.readline())["state"] == "STALLED"
        gateway.remove("sessions/m-live")
        assert json.loads(await process.stdout.readline()) == {"meeting_id": "m-live", "gone": True}
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
        assert (process.returncode, out, err) == (0, b"", b"")


async def test_watching_for_people_skips_what_changes_all_the_time(tmp_path: Path) -> None:
    gateway = a_mesh()
    async with (
        running_console(gateway) as server,
        started(tmp_path, "--target", server.address, "--key", SERVICE_KEY, "rooms", "--watch") as process,
        asyncio.timeout(30),
    ):
        assert process.stdout is not None
        for _ in range(3):
            await process.stdout.readline()
        await eventually(lambda: gateway.watched)
        gateway.put(pb.ConsoleRoom(room="ingest", state="serving", pid=4105, cpu_percent=50.0))
        gateway.put(pb.ConsoleRoom(room="ingest", state="draining", pid=4105))
        assert (await process.stdout.readline()).startswith(b"DRAINING")
        gateway.remove("rooms/report")
        assert (await process.stdout.readline()).startswith(b"GONE")


@dataclass
class Terminal:
    """A terminal with the program in it."""

    process: asyncio.subprocess.Process
    screen: bytearray
    """Everything that was sent to it so far."""
    descriptor: int

    def press(self, keys: bytes) -> None:
        """Type keys."""
        os.write(self.descriptor, keys)

    async def exit_code(self) -> int:
        """Wait for the end of the program."""
        async with asyncio.timeout(20):
            return await self.process.wait()


@asynccontextmanager
async def in_a_terminal(directory: Path, *arguments: str) -> AsyncIterator[Terminal]:
    """Start the program in a pseudo-terminal of 120x32 for the block."""
    command = [sys.executable, "-m", "tui", *arguments]
    variables = environment(directory, COLUMNS="120", LINES="32")
    async with open_terminal(command, cwd=directory, env=variables) as terminal:
        yield terminal


@asynccontextmanager
async def open_terminal(
    command: Sequence[str], *, size: tuple[int, int] | None = None, **options: Any
) -> AsyncIterator[Terminal]:
    """Start a command in a pseudo-terminal for the block; `size` is columns and rows, `options` are the process's."""
    descriptor, other_end = pty.openpty()
    if size is not None:
        resize(descriptor, *size)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=other_end, stdout=other_end, stderr=other_end, **options
    )
    os.close(other_end)
    terminal = Terminal(process, bytearray(), descriptor)
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            terminal.screen.extend(os.read(descriptor, 65536))
        except OSError:  # the program has closed its end
            loop.remove_reader(descriptor)

    loop.add_reader(descriptor, read)
    try:
        yield terminal
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        if process.returncode is None:
            process.kill()
        await process.wait()


def resize(descriptor: int, columns: int, rows: int) -> None:
    """Give a terminal another size."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


async def test_the_full_screen_opens_in_a_terminal_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    async with (
        running_console(a_mesh()) as server,
        in_a_terminal(tmp_path, "--target", server.address, "--key", SERVICE_KEY, "--no-mouse") as terminal,
    ):
        await eventually(lambda: b"media never came" in terminal.screen and b"CONNECTED" in terminal.screen, 20)
        terminal.press(b"\x11")  # ctrl+q
        assert await terminal.exit_code() == 0
        await eventually(lambda: b"\x1b[?1049l" in terminal.screen)  # back from the alternate screen
        assert b"\x1b[?1003h" not in terminal.screen  # the mouse was left alone
        assert b"PWNED\x07" not in terminal.screen


async def test_keys_that_arrive_in_one_read_go_where_the_first_one_leads(tmp_path: Path) -> None:
    async with (
        running_console(a_mesh()) as server,
        in_a_terminal(tmp_path, "--target", server.address, "--key", SERVICE_KEY) as terminal,
    ):
        await eventually(lambda: b"media never came" in terminal.screen, 20)
        terminal.press(b"/quick\r")  # q would quit and c would copy
        await eventually(lambda: b"no session matches the filter" in terminal.screen, 20)
        assert terminal.process.returncode is None
        terminal.press(b"\x11")  # ctrl+q
        assert await terminal.exit_code() == 0


async def test_a_refused_full_screen_says_so_in_the_shell_as_well(tmp_path: Path) -> None:
    async with (
        running_console(a_mesh()) as server,
        in_a_terminal(tmp_path, "--target", server.address, "--key", "wrong") as terminal,
    ):
        await eventually(lambda: b"REFUSED" in terminal.screen, 20)
        terminal.press(b"\x11")  # ctrl+q
        assert await terminal.exit_code() == 4
        await eventually(lambda: b"agent-console: The gateway" in terminal.screen.partition(b"\x1b[?1049l")[2])
