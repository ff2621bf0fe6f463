"""The backlog: resent from where the server says, bounded, and honest about what it had to drop."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.ingest.v1.audio_service_pb2 import SessionEnd, StreamAudioRequest, TrackStart
from services.connector.spans import Kind, Reason, silence
from services.connector.uplink.backlog import Backlog, BacklogLost
from services.connector.uplink.framing import Framer
from tests.fakes.ingest_server import RecordedSession


def filled(limit_bytes: int, frames: int, tracks: int = 1) -> Backlog:
    """Make a backlog with `frames` messages of 100 ms on each track."""
    backlog = Backlog(limit_bytes)
    framers = {}
    for track in range(1, tracks + 1):
        backlog.add(StreamAudioRequest(track=TrackStart(track=track)))
        framers[track] = Framer(track, backlog.add)
    for number in range(frames):
        for framer in framers.values():
            framer.audio(number * 1600, silence(1600), Kind.OK)
    return backlog


def drained(backlog: Backlog, session: RecordedSession) -> RecordedSession:
    """Send everything to `session`."""
    while backlog.ready:
        session.apply(backlog.take())
    backlog.acknowledge(session.next_sequence - 1)
    return session


def test_what_is_acknowledged_is_forgotten_and_the_rest_is_resent() -> None:
    backlog = filled(1_000_000, 10)
    session = RecordedSession("m", None, 0)
    for _ in range(8):
        session.apply(backlog.take())
    session.next_sequence = 5  # the rest did not reach the disk
    session.tracks[1].spans = session.tracks[1].spans[:3]
    backlog.rewind(5)
    drained(backlog, session)
    assert session.tracks[1].position == 16_000
    assert backlog.empty
    assert backlog.size_bytes == 0


def test_a_server_that_forgot_what_it_acknowledged_is_not_lied_to() -> None:
    backlog = filled(1_000_000, 10)
    for _ in range(5):
        backlog.take()
    backlog.acknowledge(4)
    with pytest.raises(BacklogLost):
        backlog.rewind(1)


def test_a_server_that_knows_more_than_was_sent_is_refused() -> None:
    backlog = filled(1_000_000, 10)
    with pytest.raises(BacklogLost):
        backlog.rewind(3)


def test_past_the_bound_the_oldest_audio_becomes_an_overflow_gap() -> None:
    backlog = filled(100_000, 100, tracks=2)
    assert backlog.size_bytes <= 100_000
    session = drained(backlog, RecordedSession("m", None, 0))
    for track in session.tracks.values():
        assert track.position == 160_000
        assert track.spans[0][2] == "gap:overflow"
        assert track.spans[-1][2] == "ok"
    assert sum(track.total("gap:overflow") for track in session.tracks.values()) == backlog.overflowed_samples


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_whatever_is_dropped_lost_or_repeated_the_server_sees_every_sample_once(data: st.DataObject) -> None:
    backlog = Backlog(data.draw(st.integers(5_000, 60_000)))
    session = RecordedSession("m", None, 0)
    backlog.add(StreamAudioRequest(track=TrackStart(track=1)))
    framer = Framer(1, backlog.add)
    position = 0
    for action in data.draw(st.lists(st.sampled_from(["say", "say", "gap", "send", "cut"]), max_size=120)):
        if action == "say":
            framer.audio(position, silence(1600), data.draw(st.sampled_from([Kind.OK, Kind.PLC])))
            position += 1600
        elif action == "gap":
            framer.gap(position, position + 800, Reason.MUTED)
            position += 800
        elif action == "send":
            for _ in range(data.draw(st.integers(1, 10))):
                if backlog.ready:
                    session.apply(backlog.take())
            backlog.acknowledge(session.next_sequence - 1 - data.draw(st.integers(0, 3)))
        else:
            backlog.rewind(session.next_sequence)
    framer.flush()
    backlog.add(StreamAudioRequest(end=SessionEnd(end_sample=position)))
    drained(backlog, session)
    assert session.tracks[1].position == position
    assert session.end == position
    assert backlog.empty
    assert backlog.size_bytes == 0
