"""Peers: the other replicas of the room, one channel to each while somebody needs it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agent.ingest.v1 import audio_service_pb2_grpc as audio_grpc
from agent.ingest.v1 import meeting_service_pb2_grpc as meeting_grpc
from kit.auth.outgoing import Credential
from kit.clock import monotonic
from kit.rpc.client import open_channel

_IDLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Peer:
    """Stubs of one replica."""

    address: str
    meetings: Any
    audio: Any
    internal: Any


@dataclass(slots=True)
class _Line:
    peer: Peer
    channel: AsyncExitStack
    users: int = 0
    idle_since: float = 0.0


class Peers:
    """Channels by address; made by `open_peers`."""

    def __init__(self, api_key: Credential | None) -> None:
        self._key = api_key
        self._lines: dict[str, _Line] = {}
        self._opening = asyncio.Lock()

    def __len__(self) -> int:
        """Return the number of open channels."""
        return len(self._lines)

    @asynccontextmanager
    async def to(self, address: str) -> AsyncIterator[Peer]:
        """Hold the channel to a replica for the block; it need not be there."""
        async with self._opening:
            line = self._lines.get(address)
            if line is None:
                line = self._lines[address] = await self._open(address)
            line.users += 1
        try:
            yield line.peer
        finally:
            line.users -= 1
            line.idle_since = monotonic()

    async def _open(self, address: str) -> _Line:
        stack = AsyncExitStack()
        channel = await stack.enter_async_context(open_channel(address, api_key=self._key))
        peer = Peer(
            address,
            meeting_grpc.MeetingServiceStub(channel),
            audio_grpc.AudioServiceStub(channel),
            audio_grpc.InternalAudioServiceStub(channel),
        )
        return _Line(peer, stack)

    async def close_idle(self, idle_seconds: float = _IDLE_SECONDS) -> None:
        """Close the channels that nobody has used for a while; a dead replica is not dialled for ever."""
        due = monotonic() - idle_seconds
        for address, line in list(self._lines.items()):
            if line.users == 0 and line.idle_since <= due:
                del self._lines[address]
                await line.channel.aclose()

    async def close(self) -> None:
        """Close all channels; calls on them are cancelled."""
        while self._lines:
            _, line = self._lines.popitem()
            await line.channel.aclose()


@asynccontextmanager
async def open_peers(api_key: Credential | None) -> AsyncIterator[Peers]:
    """Keep channels for the block.

    Args:
        api_key: the room's outgoing key; a replica takes a forwarded call from a service only.
    """
    peers = Peers(api_key)
    async with asyncio.TaskGroup() as tasks:
        sweeping = tasks.create_task(_sweep(peers), name="ingest.peers")
        try:
            yield peers
        finally:
            sweeping.cancel()
            await peers.close()


async def _sweep(peers: Peers) -> None:
    while True:
        await asyncio.sleep(_IDLE_SECONDS)
        await peers.close_idle()
