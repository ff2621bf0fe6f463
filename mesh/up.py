"""`agent up`: the mesh until Ctrl-C, with a table of the rooms for whoever looks."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kit.lifecycle import Shutdown, StartError
from mesh.child import Child, ChildFailed
from mesh.failures import leaves
from mesh.mesh import Mesh, StartStopped, open_mesh, why_it_failed
from mesh.start_screen import StartScreen

STATE_STYLES = {"serving": "green", "starting": "yellow", "waiting": "yellow", "not serving": "red", "failed": "red"}
GLYPHS = {"serving": "●", "starting": "○", "waiting": "↻", "not serving": "▲", "failed": "✖", "stopped": "·"}


async def run_up(shutdown: Shutdown, data: Path, *, free_ports: bool, certificates: Path | None = None) -> None:
    """Run the mesh until a signal.

    Raises:
        StartError: it cannot start; one sentence says why.
    """
    console = Console(stderr=True)
    try:
        with StartScreen(console) as start:
            async with open_mesh(
                data,
                free_ports=free_ports,
                progress=start.step,
                moving=start.moving,
                stop=shutdown.requested,
                certificates=certificates,
            ) as mesh:
                start.close()
                if console.is_terminal:
                    await _show(mesh, shutdown, console)
                else:
                    await _report_changes(mesh, shutdown, console)
                console.print("draining", style="dim")
    except* StartStopped:
        console.print("stopped before every room was ready", style="dim")
    except* ChildFailed as failures:
        raise StartError(why_it_failed(leaves(failures)[0])) from None


async def _show(mesh: Mesh, shutdown: Shutdown, console: Console) -> None:
    with Live(console=console, refresh_per_second=4) as live:
        while not shutdown.requested.is_set():
            live.update(_screen(mesh))
            await _pause(shutdown, 0.5)


async def _report_changes(mesh: Mesh, shutdown: Shutdown, console: Console) -> None:
    """For logs: a line when a room's state changes, nothing else."""
    console.print(f"ready: {mesh.url}", highlight=False)
    known: dict[str, str] = {}
    while not shutdown.requested.is_set():
        for child in mesh.children:
            if known.get(child.room.name) != child.state:
                known[child.room.name] = child.state
                running = f" (pid {child.pid})" if child.pid else ""
                console.print(f"{child.room.name}: {child.state}{running}", highlight=False)
        await _pause(shutdown, 0.5)


async def _pause(shutdown: Shutdown, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await shutdown.requested.wait()
    except TimeoutError:
        return


def _screen(mesh: Mesh) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for heading in ("ROOM", "STATE", "PID", "UP", "RESTARTS", "GRPC", "LOG"):
        table.add_column(heading, justify="right" if heading in {"PID", "UP", "RESTARTS"} else "left")
    for child in mesh.children:
        table.add_row(*_row(child))
    links = Text.assemble(
        ("page      ", "dim"), (mesh.url + "/", "bold cyan"), "\n",
        ("console   ", "dim"), "agent-console", "\n",
        ("user key  ", "dim"), f"{mesh.data}/keys.json" if mesh.keys.user else "none: set API_KEYS", "\n",
        ("stop      ", "dim"), "Ctrl-C",
    )  # fmt: skip
    return Group(Text(), table, Text(), links)


def _row(child: Child) -> tuple[str, str, str, str, str, str, str]:
    style = STATE_STYLES.get(child.state, "dim")
    minutes, seconds = divmod(int(child.uptime_seconds), 60)
    return (
        child.room.name,
        f"[{style}]{GLYPHS.get(child.state, '?')} {child.state}[/]",
        str(child.pid or "-"),
        f"{minutes}m{seconds:02d}" if minutes else f"{seconds}s",
        str(child.restarts),
        child.room.address,
        str(child.log),
    )
