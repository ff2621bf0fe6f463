"""A link: a TCP forwarder between two processes that can be reset, stalled and cut."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

HOST = "127.0.0.1"
_CONNECT_SECONDS = 5.0
_HIGH_WATER_BYTES = 256 * 1024
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Link:
    """Forwards connections to one port; made by `open_link`.

    Args:
        name: caller and called, `gateway>ingest-1`.
        target: port on this machine.
    """

    def __init__(self, name: str, target: int) -> None:
        self.name = name
        self.port = 0
        self._target = target
        self._ends: set[_End] = set()
        self._making: set[asyncio.Task[None]] = set()
        self._stalled = False
        self._cut = False

    @property
    def address(self) -> str:
        """Where callers connect, `host:port`."""
        return f"{HOST}:{self.port}"

    @property
    def connections(self) -> int:
        """Connections open now."""
        return len(self._ends) // 2

    def reset(self) -> None:
        """End every connection with a reset, as a machine that lost its memory does."""
        for end in list(self._ends):
            end.reset()

    def stall(self) -> None:
        """Let nothing through and end nothing until `mend`, as a broken switch does."""
        self._stalled = True
        for end in self._ends:
            end.hold()

    def cut(self) -> None:
        """End every connection and refuse new ones until `mend`."""
        self._cut = True
        self.reset()

    def mend(self) -> None:
        """Forward again."""
        self._stalled = self._cut = False
        for end in list(self._ends):
            end.go_on()

    def close(self) -> None:
        """Take no more and end what there is."""
        for task in self._making:
            task.cancel()
        self.reset()

    def accepted(self, end: "_End") -> None:
        """Make the other half of a new connection."""
        if self._cut:
            end.reset()
            return
        task = asyncio.get_running_loop().create_task(self._connect(end), name="chaos.link")
        self._making.add(task)
        task.add_done_callback(self._making.discard)

    async def _connect(self, caller: "_End") -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, called = await loop.create_connection(lambda: _End(self, accepted=False), HOST, self._target)
        except OSError:  # TimeoutError is one
            caller.reset()
            return
        caller.other, called.other = called, caller
        if caller.closed or self._cut:
            caller.reset()
            called.reset()
        elif self._stalled:
            called.hold()
        else:
            caller.go_on()

    def _keep(self, end: "_End") -> None:
        self._ends.add(end)

    def _forget(self, end: "_End") -> None:
        self._ends.discard(end)


class _End(asyncio.Protocol):
    """One half of a connection."""

    def __init__(self, link: Link, *, accepted: bool) -> None:
        self.other: _End | None = None
        self.closed = False
        self._link = link
        self._accepted = accepted
        self._transport: asyncio.Transport | None = None
        self._held = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(_HIGH_WATER_BYTES)
        self._link._keep(self)
        if self._accepted:
            self.hold()
            self._link.accepted(self)

    def data_received(self, data: bytes) -> None:
        other = self.other
        if other is not None and other._transport is not None and not other.closed:
            other._transport.write(data)

    def eof_received(self) -> bool:
        other = self.other
        if other is not None and other._transport is not None and not other.closed:
            other._transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.hold()

    def resume_writing(self) -> None:
        if self.other is not None and not self._link._stalled:
            self.other.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._link._forget(self)
        other = self.other
        if other is None or other.closed:
            return
        if exc is not None:
            other.reset()
        elif other._transport is not None:
            other._transport.close()

    def hold(self) -> None:
        if not self._held and not self.closed and self._transport is not None:
            self._held = True
            self._transport.pause_reading()

    def go_on(self) -> None:
        if self._held and not self.closed and self.other is not None and self._transport is not None:
            self._held = False
            self._transport.resume_reading()

    def reset(self) -> None:
        if self._transport is None or self.closed:
            return
        underlying = self._transport.get_extra_info("socket")
        if underlying is not None:
            underlying.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self._transport.abort()


@asynccontextmanager
async def open_link(name: str, target: int) -> AsyncIterator[Link]:
    """Forward from a port of the kernel's choice to `target` for the block."""
    link = Link(name, target)
    server = await asyncio.get_running_loop().create_server(lambda: _End(link, accepted=True), HOST, 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        link.close()
