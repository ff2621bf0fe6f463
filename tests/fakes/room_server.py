"""A room's signalling on a real WebSocket, with the rules of the gateway's: who offers, who hears what."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed


@dataclass(eq=False)
class Member:
    """Somebody in a room."""

    socket: ServerConnection
    id: str
    name: str
    role: str
    muted: bool = False
    recording: bool = True
    joined_at: float = field(default_factory=time.time)

    def seen_by(self, other: "Member") -> dict[str, Any]:
        """Return this member as `other` must treat them."""
        initiator = other.role != "recorder" and (self.role == "recorder" or other.joined_at > self.joined_at)
        polite = other.role != "recorder" and (self.role == "recorder" or other.id < self.id)
        return {**self.card, "initiator": initiator, "polite": polite}

    @property
    def card(self) -> dict[str, Any]:
        """The member as everybody sees them."""
        return {
            "id": self.id,
            "name": self.name,
            "role": self.role,
            "muted": self.muted,
            "recording": self.recording,
            "joinedAt": self.joined_at,
        }


class RoomServer:
    """Rooms by name; `recorder_token` is what a recorder must show, if set."""

    def __init__(self, recorder_token: str | None) -> None:
        self.rooms: dict[str, dict[str, Member]] = {}
        self.signals: list[dict[str, Any]] = []
        """Payloads relayed so far."""
        self.lines: list[dict[str, Any]] = []
        """Lines of the chat so far."""
        self.url = ""
        self.recorder_token = recorder_token
        self._server: Server | None = None

    def signal_url(self, room: str) -> str:
        """Return the address of a room's signalling."""
        return f"{self.url.replace('http', 'ws', 1)}/v1/rooms/{room}/signal"

    async def drop(self, role: str) -> None:
        """Cut the connections of all members with `role`, as a network does."""
        for members in list(self.rooms.values()):
            for member in list(members.values()):
                if member.role == role:
                    member.socket.transport.abort()

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator["RoomServer"]:
        """Serve for the block."""
        async with serve(self._serve, "127.0.0.1", port, max_size=64 * 1024) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self

    async def _serve(self, socket: ServerConnection) -> None:
        me: Member | None = None
        members: dict[str, Member] = {}
        try:
            async for text in socket:
                message = json.loads(text)
                if me is None:
                    name = socket.request.path.split("/")[3] if socket.request else ""
                    if message["type"] != "join" or message["room"] != name:
                        await _send(socket, type="error", code="join-first")
                        continue
                    if message["role"] == "recorder" and self.recorder_token not in (None, message["token"]):
                        await _send(socket, type="error", code="forbidden")
                        return
                    members = self.rooms.setdefault(name, {})
                    me = Member(socket, secrets.token_hex(6), message["name"], message["role"])
                    me.recording = message.get("recording", True)
                    await self._welcome(me, members, name)
                elif message["type"] == "leave":
                    return
                else:
                    await self._relay(me, members, message)
        except ConnectionClosed:
            pass
        finally:
            if me is not None:
                members.pop(me.id, None)
                await self._tell(members, type="peer-left", id=me.id)

    async def _welcome(self, me: Member, members: dict[str, Member], name: str) -> None:
        peers = [other.seen_by(me) for other in members.values()]
        await _send(me.socket, type="joined", room=name, iceServers=[], peers=peers, self=me.card)
        for other in members.values():
            await _send(other.socket, type="peer-joined", peer=me.seen_by(other))
        members[me.id] = me

    async def _relay(self, me: Member, members: dict[str, Member], message: dict[str, Any]) -> None:
        match message:
            case {"type": "signal", "to": to, "data": data}:
                self.signals.append(data)
                if to in members:
                    await _send(members[to].socket, type="signal", data=data, **{"from": me.id})
                else:
                    await _send(me.socket, type="error", code="no-such-peer", peer=to)
            case {"type": "mute", "muted": muted}:
                me.muted = bool(muted)
                await self._tell(members, type="peer-updated", peer=me.card, by=me.id)
            case {"type": "consent", "recording": recording}:
                target = members[message.get("target") or me.id]
                target.recording = bool(recording)
                await self._tell(members, type="peer-updated", peer=target.card, by=me.id)
            case {"type": "chat", "text": text}:
                to = message.get("to", "")
                line = {"type": "chat", "from": me.id, "text": text, "ts": time.time(), "to": to}
                self.lines.append(line)
                for member in list(members.values()):
                    if member is me or to in ("", member.id):
                        await _send(member.socket, **line)
            case {"type": "ping"}:
                await _send(me.socket, type="pong", ts=time.time())

    async def _tell(self, members: dict[str, Member], **message: object) -> None:
        for member in list(members.values()):
            await _send(member.socket, **message)


async def _send(socket: ServerConnection, /, **message: object) -> None:
    try:
        async with asyncio.timeout(2):
            await socket.send(json.dumps({"v": 1, **message}))
    except ConnectionClosed:
        pass


@asynccontextmanager
async def running_rooms(*, recorder_token: str | None = None, port: int = 0) -> AsyncIterator[RoomServer]:
    """Serve rooms on 127.0.0.1 for the block."""
    async with RoomServer(recorder_token).serving(port) as rooms:
        yield rooms
