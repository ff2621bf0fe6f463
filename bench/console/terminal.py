"""A terminal that shows nothing: a program runs in a pseudo terminal, and what it sends is counted."""

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

from bench.process import cpu_seconds

COLUMNS, LINES = 120, 40
_STOP_SECONDS = 10.0
_KEPT_BYTES = 65_536
_ASKS_SYNCHRONIZED, _HAS_SYNCHRONIZED = b"\x1b[?2026$p", b"\x1b[?2026;2$y"


class Terminal:
    """What a program under measurement has sent so far."""

    def __init__(self, process: "subprocess.Popen[bytes]", master: int) -> None:
        self.bytes = 0
        self.compressed_bytes = 0
        """What `ssh -C` would make of it, roughly: zlib, flushed after each read."""
        self.started = monotonic()
        self._process = process
        self._master = master
        self._recent = b""
        self._deflate = zlib.compressobj(6)
        self._news = asyncio.Event()

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far, of all its threads, user and system."""
        return cpu_seconds(self._process.pid)

    @property
    def memory_mib(self) -> float:
        """Resident memory."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._master, keys.encode())

    async def sent(self, text: str, seconds: float) -> float:
        """Wait until the program has sent a text; returns seconds since its start.

        Raises:
            RuntimeError: it ended, or did not send it in time.
        """
        try:
            async with asyncio.timeout(seconds):
                while text.encode() not in self._recent:
                    if self._process.poll() is not None:
                        break
                    self._news.clear()
                    await self._news.wait()
                else:
                    return monotonic() - self.started
        except TimeoutError:
            pass
        raise RuntimeError(f"{text!r} was never shown; the last of what was:\n{self._recent[-2_000:]!r}")

    def read(self) -> None:
        """Take what there is."""
        try:
            data = os.read(self._master, _KEPT_BYTES)
        except OSError:  # the program has ended
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        if _ASKS_SYNCHRONIZED in data:  # as today's terminals answer; updates then come in brackets
            os.write(self._master, _HAS_SYNCHRONIZED)
        self.bytes += len(data)
        self.compressed_bytes += len(self._deflate.compress(data)) + len(self._deflate.flush(zlib.Z_SYNC_FLUSH))
        self._recent = (self._recent + data)[-_KEPT_BYTES:]
        self._news.set()


@asynccontextmanager
async def open_terminal(arguments: Sequence[str], environment: Mapping[str, str]) -> AsyncIterator[Terminal]:
    """Run a Python module in a terminal of 120x40 with true colour for the block."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    process = subprocess.Popen(  # noqa: ASYNC220 - nothing is measured yet, and its pipes are a terminal
        [sys.executable, "-m", *arguments],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env={**_plain_environment(), "PYTHONPATH": os.pathsep.join((".", "gen")), "TERM": "xterm-256color",
             "COLORTERM": "truecolor", "LANG": "C.UTF-8", **environment},
    )  # fmt: skip
    os.close(slave)
    terminal = Terminal(process, master)
    loop = asyncio.get_running_loop()
    loop.add_reader(master, terminal.read)
    try:
        yield terminal
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        loop.remove_reader(master)
        os.close(master)


def _plain_environment() -> dict[str, str]:
    """Return our variables without those that change how the library draws."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TEXTUAL", "AGENT_CONSOLE"))}
    return {name: value for name, value in kept.items() if name not in {"NO_COLOR", "FORCE_COLOR", "LC_ALL"}}
