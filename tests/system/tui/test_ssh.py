"""The console over SSH with the clients that operators have: OpenSSH's ssh and sftp."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.console_server import running_console
from tests.integration.tui.ssh_serving import SshConsole, alive, serving
from tests.integration.tui.test_cli import Terminal, a_mesh, open_terminal, resize
from tests.kit_server import eventually

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("ssh") is None, reason="Debian's package openssh-client is not installed"),
]

OPERATORS = 5


def options(console: SshConsole, name: str) -> list[str]:
    known = console.directory / "known_hosts"
    return [
        *("-F", "none", "-i", str(console.directory / name), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"),
        *("-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=accept-new", "-o", "LogLevel=ERROR"),
    ]


async def ssh(console: SshConsole, name: str, *arguments: str, program: str = "ssh") -> tuple[int, str, str]:
    """Run a client to its end; returns exit code, standard output, standard error."""
    port = "-p" if program == "ssh" else "-P"
    process = await asyncio.create_subprocess_exec(
        program,
        *options(console, name),
        *(port, str(console.port), "ops@127.0.0.1", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def logged_in(console: SshConsole, name: str) -> AsyncIterator[Terminal]:
    """Open the full screen in a terminal of 100x30 for the block."""
    command = ["ssh", *options(console, name), "-tt", "-p", str(console.port), "ops@127.0.0.1"]
    variables = {"PATH": os.environ["PATH"], "TERM": "xterm-256color"}
    async with open_terminal(command, size=(100, 30), env=variables, start_new_session=True) as terminal:
        yield terminal


async def test_openssh_runs_commands_and_gets_nothing_else(tmp_path: Path) -> None:
    async with running_console(a_mesh()) as server, serving(tmp_path, server.address) as console:
        code, out, err = await ssh(console, "ana", "sessions", "--json")
        assert (code, out.count("\n"), err) == (0, 2, "")
        fingerprints = await asyncio.create_subprocess_exec(
            "ssh-keygen", "-lf", str(tmp_path / "known_hosts"), stdout=asyncio.subprocess.PIPE
        )
        assert console.fingerprint in (await fingerprints.communicate())[0].decode()
        assert (await ssh(console, "ana", "/bin/sh", "-c", "id"))[:2] == (126, "")
        assert (await ssh(console, "ana", program="sftp"))[0] != 0
        assert "Permission denied (publickey)" in (await ssh(console, "mallory", "whoami"))[2]


async def test_five_operators_work_at_once_and_leave_nothing_behind(tmp_path: Path) -> None:
    async with (
        running_console(a_mesh()) as server,
        serving(tmp_path, server.address) as console,
        AsyncExitStack() as all_,
    ):
        screens = [await all_.enter_async_context(logged_in(console, "ana")) for _ in range(OPERATORS)]
        for screen in screens:
            await eventually(lambda screen=screen: b"CONNECTED" in screen.screen, 60)
        children = console.children
        assert len(children) == OPERATORS
        first, *others = screens
        first.screen.clear()
        resize(first.descriptor, 130, 44)
        first.process.send_signal(signal.SIGWINCH)
        await eventually(lambda: b"\x1b[44;1H" in first.screen, 20)
        first.press(b"\x11")  # ctrl+q
        assert await first.exit_code() == 0
        for screen in others:
            screen.process.kill()
        await eventually(lambda: not any(map(alive, children)), 10)
        assert (await ssh(console, "vera", "whoami"))[0] == 0
