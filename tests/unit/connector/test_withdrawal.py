"""Who withdraws from the recording is not written down from that sample on, whatever comes, and whatever comes late."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.connector.clock import SessionClock
from services.connector.provider import Basis, Patience
from services.connector.receive.timeline import Timeline
from services.connector.receive.voices import Voices
from services.connector.spans import Kind, Reason
from tests.fakes.spans import RecordedSpans
from tests.unit.connector.test_receiver import FRAME, Wire

SECOND = 16_000


def withdraw(wire: Wire) -> None:
    """As a participant does: what has come is written, then nothing more."""
    wire.receiver.flush()
    wire.timeline.withdraw(wire.now)


def consent(wire: Wire) -> None:
    wire.receiver.flush()
    wire.timeline.consent(wire.now)


def test_nothing_is_written_from_the_moment_on_though_packets_go_on() -> None:
    wire = Wire()
    wire.play(range(50))
    wire.at(50 * FRAME)
    withdraw(wire)
    wire.play(range(50, 150))
    wire.at(150 * FRAME)
    consent(wire)
    wire.play(range(150, 200))
    wire.finish(200 * FRAME)
    assert wire.spans.merged() == [
        (0, 50 * FRAME, "ok"),
        (50 * FRAME, 150 * FRAME, "withdrawn"),
        (150 * FRAME, 200 * FRAME, "ok"),
    ]
    assert wire.frames() == [*range(1, 51), *[0] * 100, *range(151, 201)]


def test_packets_under_way_at_that_moment_are_not_written_and_what_was_there_is() -> None:
    wire = Wire()
    wire.play(range(40))
    for number in (41, 42):  # 40 is late: what came after it waits in the buffer
        wire.at(number * FRAME)
        wire.receiver.receive(wire.packet(number, copy=False))
    wire.at(43 * FRAME)
    withdraw(wire)
    written = bytes(wire.spans.pcm)
    for number in (40, 43, 44):
        wire.receiver.receive(wire.packet(number))
    wire.finish(60 * FRAME)
    assert wire.frames()[41:43] == [42, 43], "said before, and here before"
    assert bytes(wire.spans.pcm[: len(written)]) == written
    assert not any(wire.spans.pcm[len(written) :])
    assert wire.spans.merged()[-1] == (43 * FRAME, 60 * FRAME, "withdrawn")


def test_the_copy_of_a_frame_said_while_withdrawn_is_not_written() -> None:
    wire = Wire()
    wire.play(range(10))
    wire.at(10 * FRAME)
    withdraw(wire)
    wire.play(range(10, 29))
    wire.at(30 * FRAME)
    consent(wire)
    wire.receiver.receive(wire.packet(30))  # 29 is lost, and 30 has its copy
    wire.play(range(31, 40))
    wire.finish(45 * FRAME)
    assert wire.frames()[10:31] == [*[0] * 20, 31]


def test_listeners_hear_of_it_at_the_next_tick() -> None:
    spans = RecordedSpans()
    timeline = Timeline(spans, 0)
    timeline.write(0, b"\1\0" * SECOND, Kind.OK)
    timeline.withdraw(SECOND)
    timeline.advance(SECOND + 160)
    assert spans.spans[-1] == (SECOND, SECOND + 160, "withdrawn")


def test_the_microphone_changes_nothing_while_withdrawn_and_counts_again_afterwards() -> None:
    spans = RecordedSpans()
    timeline = Timeline(spans, 0)
    timeline.mute(SECOND)
    timeline.withdraw(2 * SECOND)
    timeline.unmute(3 * SECOND)
    timeline.mute(4 * SECOND)
    timeline.advance(5 * SECOND)
    timeline.consent(6 * SECOND)
    timeline.write(6 * SECOND, b"\1\0" * SECOND, Kind.OK)
    timeline.unmute(8 * SECOND)
    timeline.write(8 * SECOND, b"\1\0" * SECOND, Kind.OK)
    timeline.finish(9 * SECOND)
    assert spans.merged() == [
        (0, SECOND, "fill"),
        (SECOND, 2 * SECOND, "muted"),
        (2 * SECOND, 6 * SECOND, "withdrawn"),
        (6 * SECOND, 8 * SECOND, "muted"),
        (8 * SECOND, 9 * SECOND, "ok"),
    ]


ACTS = st.sampled_from(["write", "lose", "mute", "unmute", "withdraw", "consent", "advance"])


@given(st.lists(st.tuples(ACTS, st.integers(-3_000, 3_000), st.integers(1, 20_000)), max_size=40))
@settings(max_examples=300, deadline=None)
def test_whatever_happens_the_timeline_has_no_hole_and_nobody_withdrawn_is_heard(
    acts: list[tuple[str, int, int]],
) -> None:
    spans = RecordedSpans()
    timeline = Timeline(spans, 0)
    now = 0
    for act, early, step in acts:
        now += step
        heard = len(spans.spans)
        withdrawn = timeline.withdrawn
        match act:
            case "write":
                timeline.write(max(0, now + early), b"\1\0" * 320, Kind.OK)
            case "lose":
                timeline.lose(now)
            case _:
                getattr(timeline, act)(now)
        if withdrawn:
            assert {kind for _, _, kind in spans.spans[heard:]} <= {"withdrawn"}
    timeline.finish(now)
    assert spans.position >= now


class Listener:
    """Notes who withdrew and who consented again."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def entered(self) -> None: ...

    def live(self) -> None: ...

    def degraded(self, reason: str) -> None: ...

    def recovered(self) -> None: ...

    def reconnecting(self, reason: str) -> None: ...

    def told(self, participant_id: str, display_name: str, channel: str) -> None: ...

    def withdrew(self, participant_id: str) -> None:
        self.heard.append(f"{participant_id} withdrew")

    def consented(self, participant_id: str) -> None:
        self.heard.append(f"{participant_id} consented")


class Tracks:
    """Spans of each participant, in the order in which their tracks were opened."""

    def __init__(self) -> None:
        self.opened: list[tuple[str, RecordedSpans]] = []

    def start_track(self, participant_id: str, display_name: str, basis: Basis, start_sample: int) -> int:
        self.opened.append((participant_id, RecordedSpans(start_sample)))
        return len(self.opened) - 1

    def audio(self, track: int, start_sample: int, pcm: bytes, kind: Kind) -> None:
        self.opened[track][1].audio(start_sample, pcm, kind)

    def gap(self, track: int, start_sample: int, end_sample: int, reason: Reason) -> None:
        self.opened[track][1].gap(start_sample, end_sample, reason)

    def end_track(self, track: int, end_sample: int) -> None:
        assert self.opened[track][1].position == end_sample


async def test_names_are_clean_and_told_apart_and_nobody_is_called_by_a_guess() -> None:
    voices = Voices(SessionClock(), Tracks(), Listener(), Patience())
    for voice_id, name, basis in (
        ("a", " Anna\u202e ", Basis.OWN_TRACK),
        ("b", "anna", Basis.ROSTER),
        ("c", "\u200b", Basis.OWN_TRACK),
        ("d", "Boris", Basis.GUESS),
    ):
        voices.admit(voice_id, name, basis)
    assert [(one.display_name, one.basis) for one in voices.participants] == [
        ("Anna", Basis.OWN_TRACK),
        ("anna (2)", Basis.ROSTER),
        ("Speaker 1", Basis.GUESS),
        ("Speaker 2", Basis.GUESS),
    ]


async def test_who_withdrew_stays_withdrawn_when_they_come_back_until_they_consent() -> None:
    listener, tracks = Listener(), Tracks()
    seconds = 0
    voices = Voices(SessionClock(lambda: seconds), tracks, listener, Patience(), frozenset({"b"}))
    voices.admit("a", "Anna")
    voices.admit("b", "Boris")
    voices.start()
    seconds = 1
    assert voices.withdraw("a")
    assert voices.withdraw("a"), "once more changes nothing"
    assert not voices.withdraw("nobody")
    assert [one.withdrawn for one in voices.participants] == [True, True]
    seconds = 2
    voices.dismiss("a")
    voices.admit("a", "Anna")
    seconds = 3
    voices.consent("a")
    voices.consent("b")
    seconds = 4
    voices.finish()
    assert listener.heard == ["a withdrew", "a consented", "b consented"]
    assert [(who, spans.merged()) for who, spans in tracks.opened] == [
        ("a", [(0, SECOND, "fill"), (SECOND, 2 * SECOND, "withdrawn")]),
        ("b", [(0, 3 * SECOND, "withdrawn"), (3 * SECOND, 4 * SECOND, "fill")]),
        ("a", [(2 * SECOND, 3 * SECOND, "withdrawn"), (3 * SECOND, 4 * SECOND, "fill")]),
    ]
