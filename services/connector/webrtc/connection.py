"""A connection: how every RTCPeerConnection of ours is made, listened to and closed."""

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.rtcconfiguration import RTCIceTransportPolicy

from kit.clock import monotonic
from kit.telemetry import logs
from services.connector.receive.receiver import OpusPacket
from services.connector.webrtc import aiortc_private
from services.connector.webrtc.ice import IceAccess

CONNECT_SECONDS = 15.0
_CLOSE_SECONDS = 5.0

_gathering: WeakKeyDictionary[RTCPeerConnection, asyncio.Task[None]] = WeakKeyDictionary()
_closing: set[asyncio.Task[None]] = set()  # the loop itself keeps no task alive

log = logs.get()


class Lifetime:
    """How long a connection lasts: it comes about within 15 s, and goes with its peer's consent (10 s of silence)."""

    def __init__(self) -> None:
        self._settled = asyncio.Event()
        self._over = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether media can flow now."""
        return self._settled.is_set() and not self._over.is_set()

    def follow(self, connection: RTCPeerConnection, on_state: Callable[[str], None]) -> None:
        """Follow a connection's states and pass them on, as aiortc names them."""

        def changed() -> None:
            state = connection.connectionState
            if state in ("connected", "closed", "failed"):
                self._settled.set()
            if state in ("closed", "failed"):
                self._over.set()
            on_state(state)

        connection.on("connectionstatechange", changed)

    async def over(self) -> str:
        """Wait until the connection is gone; returns why."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._settled.wait()
        except TimeoutError:
            return f"no connection within {CONNECT_SECONDS:g} s"
        await self._over.wait()
        return "the connection was lost"


def make_connection(ice: IceAccess) -> RTCPeerConnection:
    """Make a connection as every one of ours is: all media over one transport, STUN and TURN as named or none."""
    return RTCPeerConnection(
        RTCConfiguration(
            iceServers=[ice_server(server) for server in ice.servers],
            bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
            iceTransportPolicy=RTCIceTransportPolicy.RELAY if ice.relay_only else RTCIceTransportPolicy.ALL,
        )
    )


def tap_track(connection: RTCPeerConnection, track: Any, on_packet: Callable[[str, OpusPacket], None]) -> None:
    """Take the packets of a new track under the MID of its line; what is not audio is dropped as it comes."""
    transceiver = next(
        transceiver for transceiver in connection.getTransceivers() if transceiver.receiver.track is track
    )
    receiver: RTCRtpReceiver = transceiver.receiver
    if track.kind != "audio":
        aiortc_private.discard(receiver)
        return
    mid = str(transceiver.mid)
    aiortc_private.tap(receiver, lambda packet: on_packet(mid, packet))


async def set_local(connection: RTCPeerConnection, description: RTCSessionDescription) -> None:
    """Set the local description, which gathers its candidates.

    In a task of its own, which `close_connection` waits for: cancelled halfway, gathering would leave its sockets open
    and its TURN allocation renewed for ever.
    """
    gathering = asyncio.create_task(connection.setLocalDescription(description), name="connector.webrtc.gather")
    _gathering[connection] = gathering
    await asyncio.shield(gathering)


async def close_connection(connection: RTCPeerConnection) -> None:
    """Close a connection, and wait for that within a bound.

    In a task of its own, which no cancellation reaches: closed halfway, a connection can never be closed again. What
    takes longer, like a TURN server that is gone, goes on in the background.
    """
    closing = asyncio.create_task(_close(connection), name="connector.webrtc.close")
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)
    deadline = monotonic() + _CLOSE_SECONDS
    cancelled: asyncio.CancelledError | None = None
    while not closing.done() and (left := deadline - monotonic()) > 0:
        try:
            await asyncio.wait({closing}, timeout=left)
        except asyncio.CancelledError as error:
            cancelled = error
    if not closing.done():
        log.warning("peer_connection_close_takes_long")
    if cancelled is not None:
        raise cancelled


async def _close(connection: RTCPeerConnection) -> None:
    gathering = _gathering.pop(connection, None)
    if gathering is not None:
        await asyncio.wait({gathering})
    try:
        await connection.close()
    except Exception as error:  # the edge: whatever aiortc stumbles over, nobody waits for this connection any more
        log.warning("peer_connection_close_failed", error=repr(error))


def prefer_opus(connection: RTCPeerConnection) -> None:
    """Make the connection answer its first audio line with Opus alone, receiving only."""
    transceiver = connection.addTransceiver("audio", direction="recvonly")
    capabilities = RTCRtpReceiver.getCapabilities("audio")
    codecs = capabilities.codecs if capabilities else []
    transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType.lower() == "audio/opus"])


def ice_server(raw: dict[str, Any]) -> RTCIceServer:
    """Turn a browser's RTCIceServer dictionary into aiortc's."""
    return RTCIceServer(urls=raw.get("urls", []), username=raw.get("username"), credential=raw.get("credential"))
