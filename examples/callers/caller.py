"""A caller: joins a room as a guest, speaks a recording to everybody in it, and leaves."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from examples.callers.player import Player, PlayerTrack
from examples.callers.speech import Speech
from services.connector.providers.signalling import (
    Chatted,
    Peer,
    PeerJoined,
    PeerLeft,
    Signal,
    Signalling,
    SignallingError,
    open_signalling,
)
from services.connector.webrtc import aiortc_private
from services.connector.webrtc.connection import ice_server
from services.connector.webrtc.peer import ice_candidate

_LEAVE_SECONDS = 2.0
_TAIL_SECONDS = 0.3


class Caller:
    """One person in a room.

    `ready` is set when the recorder hears this caller; set `start` and the caller speaks. `player.started_at` then says
    when, on the wall clock, and `player.finished` is set at the end of the speech.

    Args:
        name: name shown to the others.
        speech: what they say.
        language: its language, an ISO 639-1 code; for whoever compares.
        mutes: spans in seconds from the start during which the microphone is off.
    """

    def __init__(self, name: str, speech: Speech, *, language: str = "", mutes: Sequence[tuple[float, float]] = ()):
        self.name = name
        self.language = language
        self.player = Player(speech)
        self.ready = asyncio.Event()
        self.start = asyncio.Event()
        self.read: list[str] = []
        """Lines of the chat, in order."""
        self._mutes = mutes
        self._room: Signalling | None = None
        self._connections: dict[str, RTCPeerConnection] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._peers: dict[str, Peer] = {}

    async def speak(self) -> None:
        """Start, and wait until everything has been said."""
        self.start.set()
        await self.player.finished.wait()
        await asyncio.sleep(_TAIL_SECONDS)

    async def mute(self, muted: bool) -> None:
        """Switch the microphone off or on, and say so."""
        self.player.muted = muted
        if self._room:
            await self._room.mute(muted)

    @property
    def participant_id(self) -> str:
        """Identifier in the room; empty before it is entered."""
        return self._room.id if self._room else ""

    async def consent(self, recording: bool) -> None:
        """Withdraw from the recording, or consent again; the microphone goes on."""
        if self._room:
            await self._room.consent(recording)

    async def take_part(self, room: Signalling) -> None:
        """Follow the room until it closes the connection."""
        self._room = room
        for peer in room.peers:
            await self._meet(peer)
        async for event in room.events():
            match event:
                case Chatted(_, text, _):
                    self.read.append(text)
                case PeerJoined(peer):
                    await self._meet(peer)
                case PeerLeft(gone):
                    self._peers.pop(gone, None)
                    await self._part(gone)
                case Signal(sender, data) if sender in self._peers:
                    await self._take(sender, data)

    async def follow_script(self) -> None:
        """Start the player when told, then switch the microphone at the given times."""
        await self.start.wait()
        self.player.start()
        began = asyncio.get_running_loop().time()
        for off, on in self._mutes:
            for moment, muted in ((off, True), (on, False)):
                await asyncio.sleep(max(0.0, began + moment - asyncio.get_running_loop().time()))
                await self.mute(muted)

    async def hang_up(self) -> None:
        """Close every connection but stay in the room, as a browser does whose media process crashed."""
        for peer in list(self._connections):
            await self._part(peer)
        await asyncio.gather(*self._closing)

    async def leave(self) -> None:
        """Say goodbye and hang up."""
        room, self._room = self._room, None
        if room is not None:
            try:
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await room.leave()
            except (SignallingError, TimeoutError):
                pass  # the room went first
        await self.hang_up()

    async def _meet(self, peer: Peer) -> None:
        self._peers[peer.id] = peer
        if peer.initiator:
            await self._offer(peer)

    async def _part(self, peer_id: str) -> None:
        connection = self._connections.pop(peer_id, None)
        if connection is not None:  # closing half of one would leave its sockets open
            closing = asyncio.create_task(connection.close(), name=f"caller.{self.name}.close")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            await asyncio.shield(closing)

    async def _offer(self, peer: Peer) -> None:
        connection = await self._connect(peer)
        await connection.setLocalDescription(await connection.createOffer())
        await self._describe(peer.id, connection)

    async def _take(self, sender: str, data: dict[str, Any]) -> None:
        match data:
            case {"restart": True}:
                await self._offer(self._peers[sender])
            case {"description": {"type": "offer", "sdp": str() as sdp}}:
                connection = await self._connect(self._peers[sender])
                await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
                await connection.setLocalDescription(await connection.createAnswer())
                await self._describe(sender, connection)
            case {"description": {"type": "answer", "sdp": str() as sdp}}:
                answered = self._connections.get(sender)
                if answered is not None and answered.signalingState == "have-local-offer":
                    await answered.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
            case {"candidate": dict() as candidate} if candidate.get("candidate") and sender in self._connections:
                await self._connections[sender].addIceCandidate(ice_candidate(candidate))

    async def _connect(self, peer: Peer) -> RTCPeerConnection:
        """Make a new connection to a peer, instead of the one there may be."""
        await self._part(peer.id)
        servers = [ice_server(server) for server in (self._room.ice_servers if self._room else [])]
        connection = RTCPeerConnection(RTCConfiguration(iceServers=servers, bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._connections[peer.id] = connection

        def state_changed() -> None:
            if not peer.human and connection.connectionState == "connected":
                self.ready.set()

        def track_added(track: Any) -> None:
            for transceiver in connection.getTransceivers():
                if transceiver.receiver.track is track:
                    aiortc_private.discard(transceiver.receiver)

        connection.on("connectionstatechange", state_changed)
        connection.on("track", track_added)
        connection.addTrack(PlayerTrack(self.player))
        return connection

    async def _describe(self, peer_id: str, connection: RTCPeerConnection) -> None:
        local = connection.localDescription
        if self._room:
            await self._room.signal(peer_id, {"description": {"type": local.type, "sdp": local.sdp}})


@asynccontextmanager
async def open_caller(
    name: str,
    speech: Speech,
    *,
    url: str,
    room: str,
    token: str | None = None,
    language: str = "",
    mutes: Sequence[tuple[float, float]] = (),
) -> AsyncIterator[Caller]:
    """Be in a room for the block: `await caller.ready.wait()`, then `await caller.speak()`.

    Args:
        name: name shown to the others.
        speech: what they say.
        url: address of the room's signalling, `ws://host:port/v1/rooms/{room}/signal`.
        room: name of the room.
        token: a user's API key, where the room asks for one.
        language: language of the speech.
        mutes: spans in seconds from the start during which the microphone is off.

    Raises:
        SignallingError: the room cannot be joined.
    """
    aiortc_private.install()
    caller = Caller(name, speech, language=language, mutes=mutes)
    async with (
        open_signalling(url, room=room, name=name, role="guest", token=token) as signalling,
        asyncio.TaskGroup() as tasks,
    ):
        running = [
            tasks.create_task(caller.take_part(signalling), name=f"caller.{name}"),
            tasks.create_task(caller.follow_script(), name=f"caller.{name}.script"),
        ]
        try:
            yield caller
        finally:
            for task in running:
                task.cancel()
            await caller.leave()
