"""Rooms and who is in them. The name of a room is the identifier of its meeting."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import Gauge

from gateway.rooms.member import Member
from gateway.rooms.protocol import Join, SignallingError
from kit.names import told_apart

_MAX_RESUMABLE = 64  # per room; the oldest are forgotten
_MAX_EMPTY_ROOMS = 256
_MEMBERS = Gauge("agent_room_members", "Members of all calls, recorders among them.")


class Room:
    """One call."""

    def __init__(self, name: str, *, max_members: int) -> None:
        self.name = name
        self._max_members = max_members
        self._members: dict[str, Member] = {}
        self._joins = 0
        self._resumable: OrderedDict[str, str] = OrderedDict()
        self._withdrawn: set[str] = set()
        self._names: dict[str, tuple[str, str]] = {}  # by member: as given, and as shown

    @property
    def empty(self) -> bool:
        """Whether nobody is here."""
        return not self._members

    def enter(self, join: Join, ice_servers: list[dict[str, Any]]) -> Member:
        """Let somebody in and tell everybody.

        Raises:
            SignallingError: room-full.
        """
        member_id = self._resumable.get(join.resume) or secrets.token_hex(8)
        stale = self._members.get(member_id)
        if stale is not None:  # the same participant again, before the old connection was found dead
            self.leave(stale)
            stale.replaced.set()
        if len(self._members) >= self._max_members:
            raise SignallingError("room-full", limit=self._max_members)
        self._joins += 1
        role = "guest" if join.role == "host" and self._has_host() else join.role
        others = list(self._members.values())
        given, shown = self._names.get(member_id, ("", ""))
        name = told_apart(shown if given == join.name else join.name, frozenset(other.name for other in others))
        self._names[member_id] = join.name, name
        # Who had withdrawn and comes back is not recorded for a moment before they say so again.
        recording = role == "recorder" or (join.recording and member_id not in self._withdrawn)
        member = Member(member_id, name, role, self._joins, time.time(), recording=recording)
        self._note_consent(member)
        self._members[member_id] = member
        member.tell(
            "joined",
            self_=member.shown(),
            room=self.name,
            iceServers=ice_servers,
            peers=[other.shown_to(member) for other in others],
            resume=self._resume_token(join.resume, member_id),
        )
        for other in others:
            other.tell("peer-joined", peer=member.shown_to(other))
        return member

    def leave(self, member: Member) -> None:
        """Let somebody go and tell the others; nothing happens if somebody else has the place."""
        if self._members.get(member.member_id) is not member:
            return
        del self._members[member.member_id]
        for other in self._members.values():
            other.tell("peer-left", id=member.member_id)

    def find(self, member_id: str) -> Member:
        """Return a member.

        Raises:
            SignallingError: no-such-peer.
        """
        member = self._members.get(member_id)
        if member is None:
            raise SignallingError("no-such-peer", peer=member_id)
        return member

    def mute(self, target: Member, *, muted: bool, by: Member) -> None:
        """Note a microphone and tell everybody.

        Raises:
            SignallingError: forbidden; a host may switch off others' microphones, nobody may switch them on.
        """
        if target is not by and (by.role != "host" or not muted):
            raise SignallingError("forbidden")
        target.muted = muted
        for other in self._members.values():
            other.tell("peer-updated", peer=target.shown_to(other), by=by.member_id)

    def consent(self, target: Member, *, recording: bool, by: Member) -> None:
        """Note that somebody withdrew from the recording, or consents again, and tell everybody.

        Raises:
            SignallingError: forbidden; people speak for themselves, and a recorder may tell that somebody withdrew.
        """
        if target.is_recorder or (target is not by and (recording or not by.is_recorder)):
            raise SignallingError("forbidden")
        target.recording = recording
        self._note_consent(target)
        for other in self._members.values():
            other.tell("peer-updated", peer=target.shown_to(other), by=by.member_id)

    def chat(self, text: str, *, by: Member, to: Member | None = None) -> None:
        """Tell everybody a line, or the member `to` alone; it comes back to whoever wrote it."""
        listening = list(self._members.values()) if to is None else [to, *([by] if by is not to else [])]
        line = {"from_": by.member_id, "text": text, "ts": time.time(), "to": to.member_id if to else ""}
        for other in listening:
            other.tell("chat", **line)

    def _note_consent(self, member: Member) -> None:
        if member.recording:
            self._withdrawn.discard(member.member_id)
        else:
            self._withdrawn.add(member.member_id)

    def _has_host(self) -> bool:
        return any(member.role == "host" for member in self._members.values())

    def _resume_token(self, presented: str, member_id: str) -> str:
        if self._resumable.get(presented) == member_id:
            self._resumable.move_to_end(presented)
            return presented
        token = secrets.token_urlsafe(24)
        self._resumable[token] = member_id
        if len(self._resumable) > _MAX_RESUMABLE:
            _, forgotten = self._resumable.popitem(last=False)
            if forgotten not in self._members:
                self._withdrawn.discard(forgotten)
                self._names.pop(forgotten, None)
        return token


class Rooms:
    """Every call of this process."""

    def __init__(self, *, max_members: int, ice_servers: list[dict[str, Any]]) -> None:
        self._max_members = max_members
        self._ice_servers = ice_servers
        self._rooms: OrderedDict[str, Room] = OrderedDict()

    @contextmanager
    def entered(self, name: str, join: Join) -> Iterator[tuple[Room, Member]]:
        """Be in a room for the block.

        Raises:
            SignallingError: room-full.
        """
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name, max_members=self._max_members)
            self._forget_empty()
        self._rooms.move_to_end(name)
        member = room.enter(join, self._ice_servers)
        with _MEMBERS.track_inprogress():
            try:
                yield room, member
            finally:
                room.leave(member)

    def _forget_empty(self) -> None:
        """Keep empty rooms for a while: somebody may come back and be the same participant."""
        empty = [name for name, room in self._rooms.items() if room.empty]
        for name in empty[:-_MAX_EMPTY_ROOMS]:
            del self._rooms[name]
