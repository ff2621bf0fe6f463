"""The console over SSH: the server as a process, logged into by an SSH client that does what it should not."""

import asyncio
import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from tests.fakes.console_server import running_console
from tests.integration.gateway.scripted import SERVICE_KEY
from tests.integration.tui.ssh_serving import alive, audited_mesh, serving, user_line
from tests.integration.tui.test_cli import a_mesh
from tests.kit_server import eventually

OPERATOR = f"service:{hashlib.sha256(SERVICE_KEY.encode()).hexdigest()[:12]}"


async def test_commands_run_with_the_key_of_the_role_and_stand_in_the_trail_with_the_name(tmp_path: Path) -> None:
    async with audited_mesh() as audited, serving(tmp_path, audited.target) as console:
        code, out, err = await console.run("ana", "dlq requeue report j1 --reason 'crm is back'")
        assert (code, err) == (0, "")
        assert audited.jobs.rows["j1"].state == "ready"
        trail = audited.trail
        assert await trail.told("job.requeue report/j1", "allow", OPERATOR) == "ana: crm is back"
        await console.run("ana", "dlq requeue report j1")
        assert (await trail.told("job.requeue report/j1", "deny", OPERATOR)).endswith("(ana: agent-console)")
        code, out, err = await console.run("vera", "dlq requeue report j2")
        assert (code, out) == (5, "")
        assert audited.jobs.rows["j2"].state == "dead"
        with pytest.raises(asyncssh.PermissionDenied):
            await console.run("mallory", "whoami")
        with pytest.raises(asyncssh.PermissionDenied):
            async with console.login("ana", login="vera"):
                pass
        assert (await trail.told("ssh.login", "allow", "ssh:ana")).startswith("operator, as ops from 127.0.0.1 with")
        assert await trail.told("ssh.command dlq requeue report j2", "allow", "ssh:vera") == "viewer"
        assert "the key is not known" in await trail.told("ssh.login", "deny", "unknown")
        assert not [one for one in trail.decisions if SERVICE_KEY in repr(one)]


async def test_there_is_nothing_else(tmp_path: Path) -> None:
    limits = {"CONSOLE_SSH_SESSIONS": "1", "CONSOLE_SSH_IDLE_MINUTES": "0.02"}
    async with running_console(a_mesh()) as server, serving(tmp_path, server.address, **limits) as console:
        async with console.login("ana") as connection, asyncio.timeout(60):
            for command in (
                "/bin/sh -c id",
                "--key secret sessions",
                "sessions; id",
                "session leave m-1",
                "scp -t /tmp",
            ):
                done = await connection.run(command)
                assert (done.exit_status, done.stdout) == (126, ""), command
                assert done.stderr.startswith("agent-console: ")
                assert done.stderr.count("\n") == 1
            done = await connection.run(None)
            assert (done.exit_status, done.stderr.count("\n")) == (2, 1)
            assert "needs a terminal" in done.stderr
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.start_sftp_client()
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.open_connection("127.0.0.1", int(server.address.rpartition(":")[2]))
            with pytest.raises(asyncssh.ChannelListenError):
                await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 1)
            idle = await connection.create_process(term_type="xterm", encoding="latin-1")
            second = await connection.run("whoami")
            assert (second.exit_status, "too many" in second.stderr) == (75, True)
            done = await idle.wait()
            assert (done.exit_status, "no key was pressed" in done.stderr) == (75, True)
        with pytest.raises(asyncssh.PermissionDenied):
            async with asyncssh.connect(
                "127.0.0.1", console.port, username="ops", password="ops", client_keys=[], known_hosts=None, config=None
            ):
                pass
        log = (tmp_path / "log").read_text()
        assert '"ssh.command /bin/sh"' in log
        assert "secret" not in log


async def screen_shows(drawn: bytearray, *pieces: bytes) -> None:
    try:
        await eventually(lambda: all(piece in drawn for piece in pieces), 30)
    except TimeoutError:
        raise AssertionError(f"never shown: {pieces}\n{bytes(drawn[-3000:])!r}") from None


def drawing(terminal: Any) -> tuple[bytearray, asyncio.Task[None]]:
    drawn = bytearray()

    async def draw() -> None:
        while piece := await terminal.stdout.read(65536):
            drawn.extend(piece)

    return drawn, asyncio.create_task(draw())


async def test_the_full_screen_follows_the_client_and_goes_with_it(tmp_path: Path) -> None:
    async with running_console(a_mesh()) as server, serving(tmp_path, server.address) as console:
        async with console.login("vera", env={"LD_PRELOAD": "/tmp/x.so", "LANG": "C"}) as connection:
            terminal = await connection.create_process(term_type="xterm-256color", term_size=(100, 30), encoding=None)
            drawn, drawing_on = drawing(terminal)
            await screen_shows(drawn, b"CONNECTED", b"viewer")
            (child,) = console.children
            variables = Path(f"/proc/{child}/environ").read_text()
            assert "viewer-key-of-the-tests" in variables
            assert not [word for word in ("LD_PRELOAD", "SECRET_OF", SERVICE_KEY) if word in variables]
            assert "viewer-key" not in Path(f"/proc/{child}/cmdline").read_text()
            assert os.getpgid(child) == child
            drawn.clear()
            terminal.change_terminal_size(130, 44)
            await screen_shows(drawn, b"\x1b[44;1H")
            connection.abort()
            drawing_on.cancel()
        await eventually(lambda: not alive(child), 10)
        await eventually(lambda: not console.children)


async def test_the_end_of_the_server_is_told_and_orderly(tmp_path: Path) -> None:
    async with (
        running_console(a_mesh()) as server,
        serving(tmp_path, server.address) as console,
        console.login("ana") as connection,
    ):
        terminal = await connection.create_process(term_type="xterm", encoding=None)
        drawn, _ = drawing(terminal)
        await screen_shows(drawn, b"CONNECTED")
        console.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            done = await terminal.wait()
            assert done.exit_status == 75
            assert b"the server stops" in done.stderr
            assert drawn.rstrip().endswith(b"\x1b[?25h\x1b[0m")
            assert await console.process.wait() == 0


async def test_who_is_taken_out_of_the_file_is_sent_away(tmp_path: Path) -> None:
    async with running_console(a_mesh()) as server, serving(tmp_path, server.address) as console:
        users = tmp_path / "console_ssh_users"
        async with console.login("ana") as connection:
            watching = await connection.create_process("sessions --json --watch")
            assert json.loads(await watching.stdout.readline())["meeting_id"] == "m-failed"
            users.write_text("what is this?\n" + user_line(tmp_path, "vera"))
            async with asyncio.timeout(30):
                done = await watching.wait()
            assert (done.exit_status, "no longer" in done.stderr) == (75, True)
        with pytest.raises(asyncssh.PermissionDenied):
            await console.run("ana", "whoami")
        assert (await console.run("vera", "whoami"))[0] == 0
        assert "line 1: is not of the form" in (tmp_path / "log").read_text()
