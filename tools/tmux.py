"""A real terminal for programs: tmux, without anybody's settings; keys go in, the screen comes out."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from kit.ids import new_id

ENDED = "ended with"
"""What the terminal shows when the command has ended, and its exit code behind it."""

_LOOK_SECONDS = 0.1
_COMMAND_SECONDS = 20.0


class Tmux:
    """One terminal.

    Args:
        name: of the tmux server, which is its alone.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    async def press(self, *keys: str) -> None:
        """Press keys one after the other, by tmux's names: "Enter", "Escape", "C-q", or characters."""
        await self._tmux("send-keys", "--", *keys)

    async def write(self, text: str) -> None:
        """Write a text, all at once as over a slow link."""
        await self._tmux("send-keys", "-l", "--", text)

    async def screen(self, *, colours: bool = False) -> str:
        """Return what the terminal shows, line by line; with colours, as the sequences that set them."""
        return (await self._tmux("capture-pane", "-p", *(["-e", "-N"] if colours else []))).rstrip("\n")

    async def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size."""
        await self._tmux("resize-window", "-x", str(columns), "-y", str(lines))

    async def shows(self, *pieces: str, seconds: float = 30.0) -> str:
        """Wait until the terminal shows all of these texts; returns the screen then.

        Raises:
            AssertionError: it did not in time; the message has the screen.
        """
        return await self.until(
            lambda screen: all(piece in screen for piece in pieces), f"shown: {pieces}", seconds=seconds
        )

    async def hides(self, piece: str, *, seconds: float = 30.0) -> str:
        """Wait until the terminal does not show this text; returns the screen then.

        Raises:
            AssertionError: it did all the time; the message has the screen.
        """
        return await self.until(lambda screen: piece not in screen, f"hidden: {piece!r}", seconds=seconds)

    async def until(self, wanted: Callable[[str], bool], what: str, *, seconds: float = 30.0) -> str:
        """Wait until the screen is as wanted; returns it.

        Raises:
            AssertionError: it was not in time; the message has `what` and the screen.
        """
        screen = ""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    screen = await self.screen()
                    if wanted(screen):
                        return screen
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            raise AssertionError(f"not within {seconds:g} s {what}\n{screen}") from None

    async def _tmux(self, *arguments: str) -> str:
        return await _run("tmux", "-L", self._name, *arguments)


@asynccontextmanager
async def open_tmux(
    command: Sequence[str], *, columns: int, lines: int, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Tmux]:
    """Run a command in a terminal of its own for the block.

    Args:
        command: program and arguments.
        columns: of the terminal.
        lines: of the terminal.
        environment: variables of the command, over those of this process.
    """
    name = f"agent-{new_id()}"
    # Without the status line the window is the terminal; without escape-time, Escape is a key and no prefix.
    await _run(
        "tmux", "-L", name, "-f", "/dev/null", "start-server", ";",
        "set", "-g", "status", "off", ";", "set", "-sg", "escape-time", "0", ";",
        "set", "-g", "default-terminal", "tmux-256color", ";",
        "new-session", "-d", "-x", str(columns), "-y", str(lines),
        *(part for key, value in (environment or {}).items() for part in ("-e", f"{key}={value}")),
        # tmux's own way to keep a terminal whose program has ended misses some ends.
        f"{shlex.join(command)}; echo \"{ENDED} $?\"; exec sleep infinity",
    )  # fmt: skip
    try:
        yield Tmux(name)
    finally:
        await _run("tmux", "-L", name, "kill-server")


async def _run(*command: str) -> str:
    """Run a command to its end and return its output.

    Raises:
        RuntimeError: it failed.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(_COMMAND_SECONDS):
        out, err = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{shlex.join(command[:6])}: {err.decode().strip()}")
    return out.decode()
