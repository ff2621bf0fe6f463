"""How far a start has come, told to whoever started the process, in the words of systemd's notification protocol."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

PATIENCE_SECONDS = 120.0
"""What each step asks for before whoever started the process may take it for stuck."""


def tell(status: str) -> None:
    """Send one line to the socket that NOTIFY_SOCKET names; nothing happens where there is none, or nobody reads it.

    `agent up` shows the line and goes on waiting; systemd shows it in `systemctl status`.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    message = f"STATUS={status}\nEXTEND_TIMEOUT_USEC={PATIENCE_SECONDS * 1e6:.0f}"
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notices:
        notices.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
