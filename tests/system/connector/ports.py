"""Ports for servers that cannot choose their own."""

import random
import socket


def free_ports(count: int) -> list[int]:
    """Return TCP ports below those that the system hands out, so that a restarted server gets them again."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 26_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def media_ports() -> range:
    """Return UDP ports for media, by chance not those of another test."""
    start = random.randrange(26_000, 32_000, 200)
    return range(start, start + 199)
