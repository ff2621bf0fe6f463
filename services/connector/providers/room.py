"""The mesh's own rooms: the recorder joins by signalling and takes each person's voice over its own connection."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from kit.auth.outgoing import Credential, present
from kit.clock import monotonic
from kit.telemetry import logs
from services.connector.clock import SessionClock
from services.connector.provider import (
    CallRefused,
    Capabilities,
    Heard,
    JoinSpec,
    ProviderAway,
    ProviderKind,
    SourceListener,
    Surroundings,
    TrackWriter,
    address_parts,
)
from services.connector.providers.signalling import (
    Chatted,
    Event,
    Peer,
    PeerJoined,
    PeerLeft,
    PeerUpdated,
    Signal,
    Signalling,
    SignallingError,
    open_signalling,
)
from services.connector.receive.voices import Voices
from services.connector.webrtc import aiortc_private
from services.connector.webrtc.peer import PeerLink

JOIN_SECONDS = 10.0
_PROBE_SECONDS = 5.0
_REJOIN_BACKOFF_SECONDS = (0.25, 5.0)
_LEAVE_SECONDS = 2.0
_WORTH_ANOTHER_TRY = frozenset({"unreachable", "unavailable"})

log = logs.get()


@dataclass(frozen=True, slots=True)
class RoomAddress:
    """Where a room's signalling is."""

    url: str
    room: str
    credential: Credential | None
    """What proves the recorder there; nothing is shown if None."""
    tenant_id: str = ""


class RoomProvider:
    """Joins the mesh's own rooms; see `Provider`."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    def base(self, spec: JoinSpec) -> str:
        """Return nothing: a room of our own is not worth a breaker, its gateway is probed as any room is."""
        return ""

    async def probe(self) -> None:
        """Ask the gateway whether it accepts connections."""
        parts = urlsplit(self._surroundings.gateway_url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                _, writer = await asyncio.open_connection(parts.hostname, port)
        except (OSError, TimeoutError) as error:
            raise ProviderAway(f"the gateway does not answer ({type(error).__name__})") from error
        writer.close()

    @asynccontextmanager
    async def open_source(
        self, spec: JoinSpec, clock: SessionClock, tracks: TrackWriter, listener: SourceListener
    ) -> AsyncIterator["RoomSource"]:
        """Be in the room for the block."""
        aiortc_private.install()
        address = room_address(spec, self._surroundings)
        async with asyncio.TaskGroup() as tasks:
            voices = Voices(clock, tracks, listener, self._surroundings.patience, spec.withdrawn)
            source = RoomSource(address, self._surroundings, voices, listener, tasks)
            running = [
                tasks.create_task(source.stay(), name="connector.room.stay"),
                tasks.create_task(voices.tick(), name="connector.room.tick"),
            ]
            try:
                yield source
            finally:
                await source.leave()
                for task in running:
                    task.cancel()


class RoomSource:
    """The recorder in one room; see `Source` and `RoomProvider.open_source`."""

    def __init__(
        self,
        address: RoomAddress,
        surroundings: Surroundings,
        voices: Voices,
        listener: SourceListener,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._address = address
        self._surroundings = surroundings
        self._voices = voices
        self._listener = listener
        self._tasks = tasks
        self._told: set[str] = set()
        self._room: Signalling | None = None
        self._members: dict[str, _Member] = {}
        self._left = False

    @property
    def participants(self) -> Sequence[Heard]:
        """Who is in the room now, recorders aside."""
        return self._voices.participants

    async def over(self) -> str:
        """Wait until the room is empty or lost."""
        return await self._voices.over()

    def withdraw(self, participant_id: str) -> bool:
        """Stop recording a participant from this moment on; everybody in the room sees it."""
        there = self._voices.withdraw(participant_id)
        if there:
            self._show_withdrawal(participant_id)
        return there

    def finish(self) -> int:
        """Close every track at one common sample; nothing is written after this."""
        return self._voices.finish()

    def abandon(self) -> None:
        """Write nothing more and leave every track open."""
        self._voices.abandon()

    async def leave(self) -> None:
        """Say goodbye and close every connection."""
        self._left = True
        room, self._room = self._room, None
        for member in self._members.values():
            member.running.cancel()
        if room is not None:
            try:
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await room.leave()
            except (SignallingError, TimeoutError):
                log.info("room_gone_before_leaving")

    async def stay(self) -> None:
        """Be in the room; come back when the signalling is lost, while media goes on by itself."""
        shortest, longest = _REJOIN_BACKOFF_SECONDS
        lost_at, delay = monotonic(), shortest
        while True:
            try:
                async with open_signalling(
                    self._address.url,
                    room=self._address.room,
                    name=self._surroundings.recorder_name,
                    role="recorder",
                    token=present(self._address.credential) if self._address.credential else None,
                    tenant_id=self._address.tenant_id,
                    join_seconds=JOIN_SECONDS,
                ) as room:
                    self._enter(room)
                    delay = shortest
                    try:
                        async for event in room.events():
                            self._follow(event)
                    finally:
                        lost_at, self._room = monotonic(), None
                lost = ProviderAway("the room closed the connection")
                if self._left:
                    return
            except SignallingError as error:
                if error.code not in _WORTH_ANOTHER_TRY:
                    self._voices.lose(CallRefused(f"the room refused the recorder: {error.code}"))
                    return
                lost = ProviderAway(str(error))
            patience = self._surroundings.patience.rejoin if self._voices.entered else JOIN_SECONDS
            if monotonic() - lost_at > patience:
                self._voices.lose(lost)
                return
            self._voices.away(str(lost))
            await asyncio.sleep(random.uniform(delay / 2, delay))  # noqa: S311 - jitter, not a secret
            delay = min(longest, delay * 2)

    def _enter(self, room: Signalling) -> None:
        self._room = room
        self._voices.enter()
        present = {peer.id: peer for peer in room.peers if peer.human}
        for gone in self._members.keys() - present.keys():
            self._dismiss(gone)
        for peer in present.values():
            if peer.id in self._members:
                self._update(peer)
            else:
                self._admit(peer)
        untold = [peer.id for peer in present.values() if peer.id not in self._told]
        if not self._told:
            self._tell("")
        else:  # back after a drop: those who came meanwhile were not told
            for participant_id in untold:
                self._tell(participant_id)

    def _follow(self, event: Event) -> None:
        match event:
            case PeerJoined(peer) if peer.human:
                self._admit(peer)
                self._tell(peer.id)
            case PeerUpdated(peer):
                self._update(peer)
            case PeerLeft(gone):
                self._dismiss(gone)
            case Signal(sender, data) if sender in self._members:
                self._members[sender].link.deliver(data)
            case Chatted(sender, text, to) if self._room and sender == self._room.id:
                self._posted(text, to)

    def _tell(self, participant_id: str) -> None:
        """Post the notice, to everybody if `participant_id` is empty. Without one people see the recorder, no more."""
        if self._surroundings.notice:
            self._send(lambda room: room.chat(self._surroundings.notice, participant_id), "notice")
        else:
            self._note_told(participant_id, "roster")

    def _posted(self, text: str, to: str) -> None:
        """The room has shown a line of ours: whoever is here has been told, because it keeps the order of things."""
        if text == self._surroundings.notice:
            self._note_told(to, "chat")

    def _note_told(self, participant_id: str, channel: str) -> None:
        for member in self._members.values():
            if member.peer.id not in self._told and participant_id in ("", member.peer.id):
                self._told.add(member.peer.id)
                self._listener.told(member.peer.id, member.peer.name, channel)

    def _show_withdrawal(self, participant_id: str) -> None:
        self._send(lambda room: room.withdraw(participant_id), "withdrawal")

    def _send(self, message: Callable[[Signalling], Awaitable[None]], what: str) -> None:
        """Send something in a task of its own; what is lost with the connection is sent again by `_enter`."""

        async def send() -> None:
            try:
                if self._room is not None:
                    await message(self._room)
            except SignallingError:
                log.info("room_not_told", what=what)

        if not self._left:
            self._tasks.create_task(send(), name=f"connector.room.{what}")

    def _admit(self, peer: Peer) -> None:
        if self._voices.finished or peer.id in self._members:
            return

        async def signal(data: dict[str, Any]) -> None:
            if self._room is None:
                return  # the peer will offer again once the recorder is back
            try:
                await self._room.signal(peer.id, data)
            except SignallingError:
                log.info("signal_not_sent")

        def publishing(publishes: bool) -> None:
            member = self._members.get(peer.id)
            if member:
                member.publishing = publishes
                self._apply_mute(member)

        link = PeerLink(
            self._surroundings.ice.also(self._room.ice_servers if self._room else []),
            signal=signal,
            on_packet=partial(self._voices.receive, peer.id),
            on_connected=self._voices.start,
            on_publishing=publishing,
        )
        running = self._tasks.create_task(link.run(), name="connector.room.peer")
        self._members[peer.id] = _Member(peer, link, running)
        self._voices.admit(peer.id, peer.name, muted=peer.muted)
        self._apply_consent(peer, recorded_before=True)

    def _update(self, peer: Peer) -> None:
        member = self._members.get(peer.id)
        if member:
            before, member.peer = member.peer, peer
            self._apply_mute(member)
            self._apply_consent(peer, recorded_before=before.recording)

    def _apply_mute(self, member: "_Member") -> None:
        """Somebody who publishes no audio owes none: that is the room's own word, as a mute is."""
        self._voices.mute(member.peer.id, member.peer.muted or not member.publishing)

    def _apply_consent(self, peer: Peer, *, recorded_before: bool) -> None:
        """Follow the person's own word; a withdrawal that the room does not know of is shown there."""
        if not peer.recording:
            self._voices.withdraw(peer.id)
        elif not recorded_before:
            self._voices.consent(peer.id)
        elif self._voices.withdrawn(peer.id):
            self._show_withdrawal(peer.id)

    def _dismiss(self, gone: str) -> None:
        member = self._members.pop(gone, None)
        if member is not None:
            member.running.cancel()
            self._voices.dismiss(gone)


@dataclass(slots=True)
class _Member:
    peer: Peer
    link: PeerLink
    running: asyncio.Task[None]
    publishing: bool = True


def room_address(spec: JoinSpec, surroundings: Surroundings) -> RoomAddress:
    """Find the signalling of a meeting's room.

    Raises:
        CallRefused: the meeting's address is not that of a room.
    """
    base, room = surroundings.gateway_url.rstrip("/"), spec.meeting_id
    credential = surroundings.api_key
    if spec.meeting_url:
        parts = address_parts(spec.meeting_url)
        match = re.search(r"/rooms/([^/]+)", parts.path)
        if parts.scheme not in ("http", "https", "ws", "wss") or not parts.netloc or not match:
            raise CallRefused("the meeting's address is not that of a room: it has the form https://host/rooms/name")
        room = unquote(match.group(1))
        base = f"{parts.scheme}://{parts.netloc}"
        if parts.netloc != urlsplit(surroundings.gateway_url).netloc:
            credential = None  # the recorder's key belongs to this mesh's gateway alone
    socket = re.sub(r"^http", "ws", base)
    return RoomAddress(f"{socket}/v1/rooms/{quote(room, safe='')}/signal", room, credential, spec.tenant_id)


KIND = ProviderKind(
    name="room",
    summary="the mesh's own rooms",
    address_form="https://host/rooms/NAME, or empty for the meeting's own room",
    capabilities=Capabilities(own_tracks=True, mute_signals=True, chat=True),
    make=lambda settings, surroundings: RoomProvider(surroundings),
)
