"""Consent in a room of the mesh: people are told in the chat, and who withdraws is cut from that moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from examples.callers import Caller, open_caller, speech_from_samples
from services.connector.clock import SessionClock
from services.connector.provider import Basis, JoinSpec, Patience, Surroundings
from services.connector.providers.room import RoomProvider, RoomSource
from services.connector.spans import Kind, Reason
from tests.fakes.room_server import RoomServer, running_rooms
from tests.fakes.spans import RecordedSpans
from tests.integration.connector.harness import ROOM, TOKEN, speech_like, until

NOTICE = "This call is recorded."
LEAD = 1_600
"""Samples by which what had arrived may lie beyond the moment: a packet, and what evens out its way."""


@dataclass
class Recorder:
    """A recorder in a room: what it writes, and what it is told of its participants' consent."""

    rooms: RoomServer
    clock: SessionClock = field(default_factory=SessionClock)
    tracks: dict[str, RecordedSpans] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    notices: list[tuple[str, str]] = field(default_factory=list)
    consents: list[tuple[str, bool, int]] = field(default_factory=list)
    """Who, whether they may be recorded, and the sample at which the recorder learnt it."""
    source: RoomSource | None = None
    rejoined: bool = False

    def spans(self, name: str) -> RecordedSpans:
        """Return the last track of somebody."""
        return self.tracks[name]

    def start_track(self, participant_id: str, display_name: str, basis: Basis, start_sample: int) -> int:
        self.tracks[display_name] = RecordedSpans(start_sample)
        self.names.append(display_name)
        return len(self.names) - 1

    def audio(self, track: int, start_sample: int, pcm: bytes, kind: Kind) -> None:
        self.tracks[self.names[track]].audio(start_sample, pcm, kind)

    def gap(self, track: int, start_sample: int, end_sample: int, reason: Reason) -> None:
        self.tracks[self.names[track]].gap(start_sample, end_sample, reason)

    def end_track(self, track: int, end_sample: int) -> None:
        assert self.tracks[self.names[track]].position == end_sample

    def entered(self) -> None: ...

    def live(self) -> None: ...

    def degraded(self, reason: str) -> None: ...

    def recovered(self) -> None:
        self.rejoined = True

    def reconnecting(self, reason: str) -> None: ...

    def told(self, participant_id: str, display_name: str, channel: str) -> None:
        self.notices.append((display_name, channel))

    def withdrew(self, participant_id: str) -> None:
        self.consents.append((participant_id, False, self.clock.sample()))

    def consented(self, participant_id: str) -> None:
        self.consents.append((participant_id, True, self.clock.sample()))


@asynccontextmanager
async def recording(rooms: RoomServer, *, notice: str = NOTICE, **spec: object) -> AsyncIterator[Recorder]:
    """Have a recorder in the room for the block."""
    provider = RoomProvider(Surroundings(rooms.url, TOKEN, notice=notice, patience=Patience()))
    recorder = Recorder(rooms)
    joining = JoinSpec(ROOM, "acme", **spec)  # type: ignore[arg-type]
    async with provider.open_source(joining, recorder.clock, recorder, recorder) as source:
        recorder.source = source
        yield recorder
        source.finish()


async def ready(*callers: Caller) -> None:
    """Wait until the recorder hears every caller."""
    async with asyncio.timeout(20):
        for caller in callers:
            await caller.ready.wait()


async def test_everybody_is_told_in_the_chat_once_whenever_they_come() -> None:
    said = speech_from_samples(speech_like(1.0, 1))
    async with (
        running_rooms(recorder_token=TOKEN) as rooms,
        open_caller("Anna", said, url=rooms.signal_url(ROOM), room=ROOM) as anna,
        recording(rooms) as recorder,
    ):
        await until(lambda: recorder.notices == [("Anna", "chat")])
        async with open_caller("Boris", said, url=rooms.signal_url(ROOM), room=ROOM) as boris:
            await until(lambda: recorder.notices == [("Anna", "chat"), ("Boris", "chat")])
            await until(lambda: boris.read == [NOTICE])
            await ready(anna, boris)
            for caller in (anna, boris):
                caller.ready.clear()
            await rooms.drop("recorder")
            await until(lambda: recorder.rejoined)
            await ready(anna, boris)
            assert [line["to"] for line in rooms.lines] == ["", boris.participant_id], "nobody is told twice"
        assert anna.read == [NOTICE]


async def test_without_a_notice_people_are_told_by_the_roster() -> None:
    said = speech_from_samples(speech_like(1.0, 1))
    async with (
        running_rooms(recorder_token=TOKEN) as rooms,
        open_caller("Anna", said, url=rooms.signal_url(ROOM), room=ROOM) as anna,
        recording(rooms, notice="") as recorder,
    ):
        await ready(anna)
        await until(lambda: recorder.notices == [("Anna", "roster")])
        assert not rooms.lines


async def test_who_withdraws_is_cut_within_a_packet_and_heard_again_when_they_consent() -> None:
    async with (
        running_rooms(recorder_token=TOKEN) as rooms,
        open_caller("Anna", speech_from_samples(speech_like(30.0, 1)), url=rooms.signal_url(ROOM), room=ROOM) as anna,
        recording(rooms) as recorder,
    ):
        await ready(anna)
        anna.start.set()
        await until(lambda: "Anna" in recorder.tracks and recorder.spans("Anna").total("ok") > 8_000)
        await anna.consent(False)
        await until(lambda: len(recorder.consents) == 1)
        spans = recorder.spans("Anna")
        await until(lambda: spans.total("withdrawn") > 16_000)
        assert recorder.source is not None
        assert [one.withdrawn for one in recorder.source.participants] == [True]
        await anna.consent(True)
        await until(lambda: len(recorder.consents) == 2)
        heard = spans.total("ok")
        await until(lambda: spans.total("ok") > heard + 8_000)

    (_, withdrew, cut), (_, consented, again) = recorder.consents
    assert (withdrew, consented) == (False, True)
    gaps = [span for span in spans.merged() if span[2] == "withdrawn"]
    assert len(gaps) == 1, spans.merged()
    assert cut <= gaps[0][0] <= cut + LEAD
    assert abs(gaps[0][1] - again) <= LEAD
    assert not any(spans.pcm[2 * (gaps[0][0] - spans.start) : 2 * (gaps[0][1] - spans.start)])


async def test_a_withdrawal_from_elsewhere_is_shown_in_the_room_and_outlives_the_recorder() -> None:
    said = speech_from_samples(speech_like(30.0, 1))
    async with (
        running_rooms(recorder_token=TOKEN) as rooms,
        open_caller("Anna", said, url=rooms.signal_url(ROOM), room=ROOM) as anna,
    ):
        async with recording(rooms) as recorder:
            await ready(anna)
            anna.start.set()
            await until(lambda: "Anna" in recorder.tracks and recorder.spans("Anna").total("ok") > 8_000)
            assert recorder.source is not None
            assert not recorder.source.withdraw("nobody")
            assert recorder.source.withdraw(anna.participant_id)
            member = rooms.rooms[ROOM][anna.participant_id]
            await until(lambda: not member.recording)
        member.recording = True  # a room that lost its memory
        async with recording(rooms, withdrawn=frozenset({anna.participant_id})) as later:
            await until(lambda: not member.recording)
            await until(lambda: "Anna" in later.tracks and later.spans("Anna").total("withdrawn") > 8_000)
        assert later.spans("Anna").total("ok") == 0
