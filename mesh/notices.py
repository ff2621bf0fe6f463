"""What a child process tells about its start through NOTIFY_SOCKET, the way services tell systemd."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_MOST_BYTES = 4096


@contextmanager
def listening(hear: Callable[[str], None]) -> Iterator[str]:
    """Call `hear` with each status for the block; gives the value of NOTIFY_SOCKET.

    The socket lies in a directory that only this user enters: its path must be short, so it is not the data's.
    """
    loop = asyncio.get_running_loop()
    with (
        tempfile.TemporaryDirectory(prefix="agent-") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notices,
    ):

        def read() -> None:
            for line in notices.recv(_MOST_BYTES).decode(errors="replace").splitlines():
                if line.startswith("STATUS="):
                    hear(line.removeprefix("STATUS="))

        path = str(Path(directory) / "notices")
        notices.bind(path)
        loop.add_reader(notices.fileno(), read)
        try:
            yield path
        finally:
            loop.remove_reader(notices.fileno())
