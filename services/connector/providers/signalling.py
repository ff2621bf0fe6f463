"""Room signalling: the WebSocket over which a member of a room finds the others. Payloads are what browsers produce."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from kit.auth.principal import TENANT_ID

_VERSION = 1
_FRAME_BYTES = 64 * 1024
_QUEUE = 256
_PING_SECONDS = 5


class SignallingError(Exception):
    """The room could not be joined or was lost. `code` is the server's word, or "unreachable"."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Peer:
    """A member of the room, as this member must treat it."""

    id: str
    name: str
    role: str
    muted: bool
    initiator: bool
    """Whether this member offers to the peer."""
    polite: bool
    recording: bool = True
    """Whether they may be recorded; False once they have withdrawn."""

    @property
    def human(self) -> bool:
        """Whether it is somebody who may speak."""
        return self.role != "recorder"


@dataclass(frozen=True, slots=True)
class PeerJoined:
    """Somebody came in."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class PeerUpdated:
    """Somebody changed, for example was muted."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """Somebody went out."""

    id: str


@dataclass(frozen=True, slots=True)
class Signal:
    """Somebody sent a description, a candidate or a wish to start again."""

    sender: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chatted:
    """Somebody wrote a line, this member perhaps: the room sends everything back. `to` is empty for everybody."""

    sender: str
    text: str
    to: str


Event = PeerJoined | PeerUpdated | PeerLeft | Signal | Chatted


class Signalling:
    """A place in a room; see `open_signalling`."""

    def __init__(self, socket: ClientConnection, id: str, ice_servers: list[dict[str, Any]], peers: list[Peer]) -> None:  # noqa: A002
        self._socket = socket
        self._peers = {peer.id: peer for peer in peers}
        self.id = id
        self.ice_servers = ice_servers
        self.peers = tuple(peers)
        """Who was there already."""

    async def signal(self, to: str, data: dict[str, Any]) -> None:
        """Send a description, a candidate or a restart to a peer; one that has gone is ignored."""
        await self._send(type="signal", to=to, data=data)

    async def mute(self, muted: bool) -> None:
        """Say that this member's microphone is off or on."""
        await self._send(type="mute", muted=muted)

    async def chat(self, text: str, to: str = "") -> None:
        """Write a line for everybody, or for one peer alone."""
        await self._send(type="chat", text=text, **({"to": to} if to else {}))

    async def withdraw(self, target: str) -> None:
        """Tell the room that a peer is not recorded any more, though they did not say so here."""
        await self._send(type="consent", recording=False, target=target)

    async def consent(self, recording: bool) -> None:
        """Say whether this member may be recorded."""
        await self._send(type="consent", recording=recording)

    async def leave(self) -> None:
        """Say goodbye."""
        await self._send(type="leave")

    async def events(self) -> AsyncIterator[Event]:
        """Yield what happens in the room until the connection ends.

        Raises:
            SignallingError: the server ended it with an error.
        """
        try:
            async for text in self._socket:
                message = _parsed(text)
                event = self._event(message) if message else None
                if event is not None:
                    yield event
        except ConnectionClosed as closed:
            raise SignallingError("unreachable", "the connection to the room was lost") from closed

    def _event(self, message: dict[str, Any]) -> Event | None:
        match message:
            case {"type": "peer-joined", "peer": dict() as raw}:
                peer = self._peers[str(raw.get("id"))] = _peer(raw)
                return PeerJoined(peer)
            case {"type": "peer-updated", "peer": dict() as raw}:
                # The update may come without the link's roles, which never change.
                known = self._peers.get(str(raw.get("id")))
                if known is None:
                    return None
                peer = self._peers[known.id] = replace(
                    known,
                    muted=bool(raw.get("muted", known.muted)),
                    name=str(raw.get("name", known.name)),
                    recording=bool(raw.get("recording", known.recording)),
                )
                return PeerUpdated(peer)
            case {"type": "peer-left", "id": str() as gone}:
                self._peers.pop(gone, None)
                return PeerLeft(gone)
            case {"type": "signal", "from": str() as sender, "data": dict() as data}:
                return Signal(sender, data)
            case {"type": "chat", "from": str() as sender, "text": str() as text}:
                return Chatted(sender, text, str(message.get("to") or ""))
        return None

    async def _send(self, **message: object) -> None:
        try:
            await self._socket.send(json.dumps({"v": _VERSION, **message}))
        except ConnectionClosed as closed:
            raise SignallingError("unreachable", "the connection to the room was lost") from closed


@asynccontextmanager
async def open_signalling(
    url: str, *, room: str, name: str, role: str, token: str | None, tenant_id: str = "", join_seconds: float = 10.0
) -> AsyncIterator[Signalling]:
    """Be a member of a room for the block.

    Args:
        url: address of the room's signalling, `ws://` or `wss://`.
        room: name of the room.
        name: name shown to the others.
        role: "guest", "host" or "recorder".
        token: proof of who this is; None where the room asks for none.
        tenant_id: whose meeting it is, for a token that may act for any tenant.
        join_seconds: time to get in.

    Raises:
        SignallingError: the room cannot be reached, refuses, or does not answer in time.
    """
    try:
        async with asyncio.timeout(join_seconds):
            socket = await connect(
                url,
                additional_headers={TENANT_ID: tenant_id} if token and tenant_id else None,
                max_size=_FRAME_BYTES,
                max_queue=_QUEUE,
                ping_interval=_PING_SECONDS,
                ping_timeout=2 * _PING_SECONDS,
            )
    except (OSError, InvalidHandshake, InvalidMessage, TimeoutError) as error:
        raise SignallingError(
            "unreachable", f"the room's signalling cannot be reached ({type(error).__name__})"
        ) from error
    async with socket:
        try:
            async with asyncio.timeout(join_seconds):
                yield_to = await _join(socket, room=room, name=name, role=role, token=token)
        except TimeoutError as error:
            raise SignallingError("unreachable", "the room did not let the member in in time") from error
        yield yield_to


async def _join(socket: ClientConnection, *, room: str, name: str, role: str, token: str | None) -> Signalling:
    join = {"v": _VERSION, "type": "join", "room": room, "name": name, "role": role, "token": token or ""}
    try:
        await socket.send(json.dumps(join))
        while True:
            match _parsed(await socket.recv()):
                case {"type": "joined", "self": {"id": str() as own}, "peers": list() as peers, **rest}:
                    servers = rest.get("iceServers")
                    return Signalling(socket, own, servers if isinstance(servers, list) else [], [*map(_peer, peers)])
                case {"type": "error", "code": code}:
                    raise SignallingError(str(code), f"the room refused: {code}")
    except ConnectionClosed as closed:
        reason = closed.rcvd.reason if closed.rcvd else ""
        raise SignallingError(
            "unreachable", f"the room closed the connection ({reason or 'no reason given'})"
        ) from closed


def _parsed(text: str | bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(text)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def _peer(raw: dict[str, Any]) -> Peer:
    return Peer(
        id=str(raw.get("id", "")),
        name=str(raw.get("name", "")),
        role=str(raw.get("role", "guest")),
        muted=bool(raw.get("muted", False)),
        initiator=bool(raw.get("initiator", False)),
        polite=bool(raw.get("polite", True)),
        recording=bool(raw.get("recording", True)),
    )
