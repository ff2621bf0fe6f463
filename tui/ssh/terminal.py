"""A pseudo-terminal: the child has one end, bytes from and to the client go through the other."""

import asyncio
import fcntl
import os
import pty
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager

_MOST_COLUMNS, _MOST_ROWS = 500, 200
_DEFAULT = (80, 24)
_READ_BYTES = 65536

RESTORE = b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?2004l\x1b[?1049l\x1b[?25h\x1b[0m\r\n"
"""Sent after a child that could not clean up: mouse and pasting off, back from the alternate screen, cursor on."""


class Terminal:
    """Our end; `child_end` is given to the child and closed here once it has it."""

    def __init__(self, own_end: int, child_end: int) -> None:
        self._own_end = own_end
        self.child_end = child_end

    def resize(self, columns: int, rows: int) -> None:
        """Set the size in characters; the kernel tells the child."""
        columns, rows = columns or _DEFAULT[0], rows or _DEFAULT[1]
        size = struct.pack("HHHH", max(1, min(rows, _MOST_ROWS)), max(1, min(columns, _MOST_COLUMNS)), 0, 0)
        fcntl.ioctl(self._own_end, termios.TIOCSWINSZ, size)

    def hand_over(self) -> None:
        """Close the child's end here, so that reading ends when the child's does."""
        if self.child_end >= 0:
            os.close(self.child_end)
            self.child_end = -1

    async def read(self) -> bytes:
        """Return what the child drew; empty when it has gone."""
        while True:
            try:
                return os.read(self._own_end, _READ_BYTES)
            except BlockingIOError:
                await self._ready(reading=True)
            except OSError:  # Linux says EIO when nobody has the other end
                return b""

    async def write(self, keys: bytes) -> None:
        """Give keys to the child; waits while it does not take them."""
        while keys:
            try:
                keys = keys[os.write(self._own_end, keys) :]
            except BlockingIOError:
                await self._ready(reading=False)
            except OSError:
                return

    async def _ready(self, *, reading: bool) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        add, remove = (loop.add_reader, loop.remove_reader) if reading else (loop.add_writer, loop.remove_writer)
        add(self._own_end, wake)
        try:
            await ready
        finally:
            remove(self._own_end)


@contextmanager
def open_terminal(columns: int, rows: int) -> Iterator[Terminal]:
    """Open a pseudo-terminal for the block; whoever still has its other end at the end is hung up on."""
    own_end, child_end = pty.openpty()
    terminal = Terminal(own_end, child_end)
    try:
        os.set_blocking(own_end, False)
        terminal.resize(columns, rows)
        yield terminal
    finally:
        terminal.hand_over()
        os.close(own_end)
