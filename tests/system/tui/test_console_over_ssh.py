"""An operator at a terminal: OpenSSH in tmux, `agent-console serve-ssh`, every room and a call of two people."""

import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kit.ids import new_id
from mesh.mesh import Mesh
from tests.integration.tui.ssh_serving import SshConsole, serving
from tests.kit_server import eventually
from tests.system.tui.test_ssh import options
from tools.console_scene import BREAKER, TAKEN, VIEWER_KEY, Scene, open_scene
from tools.tmux import ENDED, Tmux, open_tmux

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        shutil.which("ssh") is None or shutil.which("tmux") is None,
        reason="Debian's packages openssh-client and tmux are not installed",
    ),
]

BUILD = Path(__file__).resolve().parents[3] / "build"
SECONDS = 90.0
"""For anything to be shown, on a machine that is busy."""


@asynccontextmanager
async def logged_in(console: SshConsole, name: str) -> AsyncIterator[Tmux]:
    """Open the console over SSH in a terminal for the block."""
    command = ["ssh", *options(console, name), "-tt", "-p", str(console.port), "ops@127.0.0.1"]
    async with open_tmux(command, columns=140, lines=40, environment={"TERM": "xterm-256color"}) as terminal:
        await terminal.shows("CONNECTED", "viewer" if name == "vera" else "operator", seconds=SECONDS)
        yield terminal


async def test_an_operator_sees_and_mends_a_mesh_over_ssh(tmp_path: Path):
    data = BUILD / f"system-{new_id()}"  # PostgreSQL changes its user and cannot enter a private temporary directory
    data.mkdir(parents=True)
    data.chmod(0o711)
    try:
        async with open_scene(data) as scene, _serving(scene, tmp_path) as console:
            async with logged_in(console, "ana") as ana:
                await _the_call_goes_live_and_its_words_scroll(ana, scene)
                await _a_room_dies_and_comes_back(ana, scene.mesh)
                await _a_dead_letter_is_requeued(ana, scene)
                await _a_breaker_is_reset(ana)
                await ana.press("C-q")
                await ana.shows(f"{ENDED} 0", seconds=SECONDS)
            async with logged_in(console, "vera") as vera:
                await _a_viewer_is_refused(vera, console)
    finally:
        shutil.rmtree(data, ignore_errors=True)


@asynccontextmanager
async def _serving(scene: Scene, directory: Path) -> AsyncIterator[SshConsole]:
    keys = {"CONSOLE_SSH_OPERATOR_KEY": scene.mesh.keys.service, "CONSOLE_SSH_VIEWER_KEY": VIEWER_KEY}
    async with serving(directory, scene.target, **keys) as console:
        yield console


async def _the_call_goes_live_and_its_words_scroll(ana: Tmux, scene: Scene) -> None:
    await scene.begin_to_speak()
    await ana.shows("sessions 1", "LIVE", "Backend engineer", seconds=SECONDS)
    await ana.press("Enter")
    await ana.shows("live transcript", "Alice Moore", "Ben Carter", seconds=SECONDS)
    lines = _lines(await ana.screen())
    await ana.until(lambda screen: _lines(screen) > lines, f"more than {lines} lines of text", seconds=SECONDS)


async def _a_room_dies_and_comes_back(ana: Tmux, mesh: Mesh) -> None:
    await ana.press("Escape")
    await ana.shows("sessions 1", seconds=SECONDS)
    killed = mesh.pids["stt"]
    os.kill(killed, signal.SIGKILL)
    await ana.shows("DEGRADED", "speech recognition is away", seconds=SECONDS)
    await eventually(lambda: mesh.pids.get("stt") not in {None, killed}, SECONDS)
    await ana.hides("DEGRADED", seconds=SECONDS)
    await ana.shows("LIVE", seconds=SECONDS)


async def _a_dead_letter_is_requeued(ana: Tmux, scene: Scene) -> None:
    await ana.write("3")
    await ana.shows("queues 2", "DEAD", "the receiver answered 410", seconds=SECONDS)
    scene.receiver.status = TAKEN
    await ana.press("Tab")
    await ana.write("r")
    await eventually(lambda: scene.receiver.taken == 1, SECONDS)
    await ana.hides("the receiver answered 410", seconds=SECONDS)


async def _a_breaker_is_reset(ana: Tmux) -> None:
    await ana.write("4")
    await ana.shows(BREAKER, "OPEN", "5/5", seconds=SECONDS)
    await ana.shows("LAST ERROR", "SberJazz cannot be reached", seconds=SECONDS)
    await ana.write("r")
    await ana.shows("is closed", seconds=SECONDS)
    await ana.shows("CLOSED", "0/5", "manual", seconds=SECONDS)


async def _a_viewer_is_refused(vera: Tmux, console: SshConsole) -> None:
    await vera.write("4")
    await vera.shows(BREAKER, "0/5", seconds=SECONDS)
    await vera.write("r")  # its key is dimmed, and does nothing
    await vera.write(":reconcile")
    await vera.press("Enter")
    await vera.shows("this key only looks", seconds=SECONDS)
    code, _, said = await console.run("vera", f"breaker reset {BREAKER}")
    assert (code, "viewers only read" in said) == (5, True), (code, said)


def _lines(screen: str) -> int:
    """Return how many lines the transcript has, by its title."""
    title = next((line for line in screen.splitlines() if "live transcript" in line), "")
    return int(next((word for word in title.split() if word.isdigit()), "0"))
