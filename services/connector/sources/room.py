"""The mesh's own rooms: the recorder joins by signalling and takes each person's voice over its own connection."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from kit.clock import monotonic
from kit.telemetry import logs
from services.connector.clock import SessionClock
from services.connector.provider import Capabilities, Heard, JoinSpec, SourceListener, SourceLost, TrackWriter
from services.connector.sources import aiortc_private
from services.connector.sources.participant import Participant
from services.connector.sources.peer import PeerLink
from services.connector.sources.receiver import OpusPacket
from services.connector.sources.signalling import (
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
from services.connector.spans import samples_of

TICK_SECONDS = 0.1
NOBODY_SECONDS = 1.0
JOIN_SECONDS = 10.0
DEGRADED_SAMPLES = samples_of(2.0)
_REJOIN_BACKOFF_SECONDS = (0.25, 5.0)
_HELD_UP_SECONDS = 0.4
_LEAVE_SECONDS = 2.0
_WORTH_ANOTHER_TRY = frozenset({"unreachable", "unavailable"})

log = logs.get()


@dataclass(frozen=True, slots=True)
class RoomOptions:
    """How the recorder behaves in a room.

    `token` proves the recorder to the gateway at `gateway_url` and to nobody else. `empty_room_seconds` after the last
    person left, or `first_person_seconds` after joining with nobody coming, the call is over; it is lost when the room
    cannot be rejoined for `rejoin_seconds`.
    """

    gateway_url: str
    token: str | None
    recorder_name: str = "Interview recorder"
    empty_room_seconds: float = 10.0
    first_person_seconds: float = 900.0
    rejoin_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class RoomAddress:
    """Where a room's signalling is."""

    url: str
    room: str
    token: str | None


class RoomProvider:
    """Joins the mesh's own rooms; see `Provider`."""

    name = "room"
    capabilities = Capabilities(own_tracks=True, mute_signals=True)

    def __init__(self, options: RoomOptions) -> None:
        self._options = options

    @asynccontextmanager
    async def open_source(
        self, spec: JoinSpec, clock: SessionClock, tracks: TrackWriter, listener: SourceListener
    ) -> AsyncIterator["RoomSource"]:
        """Be in the room for the block."""
        aiortc_private.install()
        address = room_address(spec, self._options)
        async with asyncio.TaskGroup() as tasks:
            source = RoomSource(address, self._options, clock, tracks, listener, tasks)
            running = [
                tasks.create_task(source.stay(), name="connector.room.stay"),
                tasks.create_task(source.tick(), name="connector.room.tick"),
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
        options: RoomOptions,
        clock: SessionClock,
        tracks: TrackWriter,
        listener: SourceListener,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._address = address
        self._options = options
        self._clock = clock
        self._tracks = tracks
        self._listener = listener
        self._tasks = tasks
        self._room: Signalling | None = None
        self._people: dict[str, _Person] = {}
        self._finished = False
        self._degraded = False
        self._entered_at: float | None = None
        self._empty_since: float | None = None
        self._last_end = 0
        self._somebody_came = False
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def participants(self) -> Sequence[Heard]:
        """Who is in the room now, recorders aside."""
        return [
            person.participant.heard
            if person.participant
            else Heard(person.peer.id, person.peer.name, person.peer.muted, 0.0)
            for person in self._people.values()
        ]

    async def over(self) -> str:
        """Wait until the room is empty or lost."""
        return await asyncio.shield(self._over)

    def finish(self) -> int:
        """Close every track at one common sample; nothing is written after this."""
        self._finished = True
        voices = [person.participant for person in self._people.values() if person.participant]
        for voice in voices:
            voice.flush()
        end = max([self._last_end, *(voice.position for voice in voices)])
        if voices or not self._somebody_came:
            end = max(end, self._clock.sample())
        for voice in voices:
            voice.end(end)
        for person in self._people.values():
            person.participant = None
        return end

    async def leave(self) -> None:
        """Say goodbye and close every connection."""
        self._finished = True
        room, self._room = self._room, None
        for person in self._people.values():
            person.running.cancel()
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
                    name=self._options.recorder_name,
                    role="recorder",
                    token=self._address.token,
                    join_seconds=JOIN_SECONDS,
                ) as room:
                    self._enter(room)
                    delay = shortest
                    try:
                        async for event in room.events():
                            self._follow(event)
                    finally:
                        lost_at, self._room = monotonic(), None
                reason = "the room closed the connection"
                if self._finished:
                    return
            except SignallingError as error:
                if error.code not in _WORTH_ANOTHER_TRY:
                    self._lose(f"the room refused the recorder: {error.code}")
                    return
                reason = str(error)
            patience = self._options.rejoin_seconds if self._entered_at is not None else JOIN_SECONDS
            if monotonic() - lost_at > patience:
                self._lose(reason)
                return
            if self._entered_at is not None:
                self._listener.reconnecting(reason)
            await asyncio.sleep(random.uniform(delay / 2, delay))  # noqa: S311 - jitter, not a secret
            delay = min(longest, delay * 2)

    async def tick(self) -> None:
        """Let time pass on the timelines, and notice what only time tells."""
        while True:
            before = monotonic()
            await asyncio.sleep(TICK_SECONDS)
            held_up = monotonic() - before > _HELD_UP_SECONDS
            if self._finished or self._entered_at is None or held_up:
                continue  # after being held up the process first reads what has arrived meanwhile
            self._start_by_time()
            for person in self._people.values():
                if person.participant:
                    person.participant.poll()
            self._judge()
            self._notice_empty()

    def _enter(self, room: Signalling) -> None:
        self._room = room
        if self._entered_at is None:
            self._entered_at = monotonic()
            self._listener.entered()
        elif self._clock.started:
            self._degraded = False
            self._listener.recovered()
        present = {peer.id: peer for peer in room.peers if peer.human}
        for gone in self._people.keys() - present.keys():
            self._dismiss(gone)
        for peer in present.values():
            if peer.id in self._people:
                self._update(peer)
            else:
                self._admit(peer)

    def _follow(self, event: Event) -> None:
        match event:
            case PeerJoined(peer) if peer.human:
                self._admit(peer)
            case PeerUpdated(peer):
                self._update(peer)
            case PeerLeft(gone):
                self._dismiss(gone)
            case Signal(sender, data) if sender in self._people:
                self._people[sender].link.deliver(data)

    def _admit(self, peer: Peer) -> None:
        if self._finished or peer.id in self._people:
            return
        self._somebody_came = True

        async def signal(data: dict[str, Any]) -> None:
            if self._room is None:
                return  # the peer will offer again once the recorder is back
            try:
                await self._room.signal(peer.id, data)
            except SignallingError:
                log.info("signal_not_sent")

        def receive(packet: OpusPacket) -> None:
            self._start()
            person = self._people.get(peer.id)
            if person and person.participant:
                person.participant.receive(packet)

        def publishing(publishes: bool) -> None:
            person = self._people.get(peer.id)
            if person:
                person.publishing = publishes
                self._apply_mute(person)

        link = PeerLink(
            self._room.ice_servers if self._room else [],
            signal=signal,
            on_packet=receive,
            on_connected=self._start,
            on_publishing=publishing,
        )
        running = self._tasks.create_task(link.run(), name="connector.room.peer")
        person = self._people[peer.id] = _Person(peer, link, running)
        if self._clock.started:
            self._open_track(person, self._clock.sample())
        log.info("participant_joined", participant_id=peer.id)

    def _update(self, peer: Peer) -> None:
        person = self._people.get(peer.id)
        if person:
            person.peer = peer
            self._apply_mute(person)

    def _apply_mute(self, person: "_Person") -> None:
        """Somebody who publishes no audio owes none: that is the room's own word, as a mute is."""
        if person.participant:
            person.participant.mute(person.peer.muted or not person.publishing)

    def _dismiss(self, gone: str) -> None:
        person = self._people.pop(gone, None)
        if person is None:
            return
        person.running.cancel()
        if person.participant:
            self._last_end = max(self._last_end, person.participant.end(self._clock.sample()))
        log.info("participant_left", participant_id=gone)

    def _start(self) -> None:
        """Make this moment sample 0, unless it is past; whoever is here has a track from it on."""
        if self._clock.started or self._finished:
            return
        self._clock.start()
        self._listener.live()
        for person in self._people.values():
            self._open_track(person, 0)

    def _start_by_time(self) -> None:
        assert self._entered_at is not None
        waited = monotonic() - self._entered_at
        if waited > (JOIN_SECONDS if self._people else NOBODY_SECONDS):
            self._start()

    def _open_track(self, person: "_Person", start_sample: int) -> None:
        peer = person.peer
        person.participant = Participant(peer.id, peer.name, self._tracks, self._clock.sample, start_sample)
        self._apply_mute(person)

    def _judge(self) -> None:
        if not self._clock.started or self._room is None:
            return
        quiet = any(
            person.participant.quiet_samples > DEGRADED_SAMPLES
            for person in self._people.values()
            if person.participant
        )
        if quiet and not self._degraded:
            self._listener.degraded("a participant who is not muted has sent nothing for 2 s")
        elif self._degraded and not quiet:
            self._listener.recovered()
        self._degraded = quiet

    def _notice_empty(self) -> None:
        if self._people:
            self._empty_since = None
            return
        now = monotonic()
        if self._empty_since is None:
            self._empty_since = now
        patience = self._options.empty_room_seconds if self._somebody_came else self._options.first_person_seconds
        if now - self._empty_since >= patience and not self._over.done():
            self._over.set_result("everyone has left" if self._somebody_came else "nobody came")

    def _lose(self, reason: str) -> None:
        if not self._over.done():
            self._over.set_exception(SourceLost(reason))


@dataclass(slots=True)
class _Person:
    peer: Peer
    link: PeerLink
    running: asyncio.Task[None]
    participant: Participant | None = None
    publishing: bool = True


def room_address(spec: JoinSpec, options: RoomOptions) -> RoomAddress:
    """Find the signalling of a meeting's room.

    Raises:
        SourceLost: the meeting's address is not that of a room.
    """
    base, room = options.gateway_url.rstrip("/"), spec.meeting_id
    token = options.token
    if spec.meeting_url:
        parts = urlsplit(spec.meeting_url)
        match = re.search(r"/rooms/([^/]+)", parts.path)
        if parts.scheme not in ("http", "https", "ws", "wss") or not parts.netloc or not match:
            raise SourceLost("the meeting's address is not that of a room: it has the form https://host/rooms/name")
        room = unquote(match.group(1))
        base = f"{parts.scheme}://{parts.netloc}"
        if parts.netloc != urlsplit(options.gateway_url).netloc:
            token = None  # the recorder's key belongs to this mesh's gateway alone
    socket = re.sub(r"^http", "ws", base)
    return RoomAddress(f"{socket}/v1/rooms/{quote(room, safe='')}/signal", room, token)
