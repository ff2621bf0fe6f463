"""A session in a room of the mesh: real callers, real signalling, real WebRTC, a real stream to ingest."""

import asyncio
from itertools import pairwise

import grpc
import numpy as np
import pytest

from examples.callers import open_caller, speech_from_samples
from kit.errors import FailedPrecondition
from services.connector.errors import ProviderFailed, ProviderUnknown, SessionNotFound
from services.connector.provider import JoinSpec
from services.connector.sessions.record import State
from tests.fakes.ingest_server import Ingest, serving_ingest
from tests.integration.connector.harness import (
    RATE,
    ROOM,
    SPEC,
    Connector,
    heard,
    lasting_port,
    place_of,
    running_connector,
    speech_like,
    track_of,
    until,
)

pytestmark = pytest.mark.realtime


class MeetingFinished(FailedPrecondition):
    """The meeting has ended."""

    reason = "ERROR_REASON_MEETING_FINISHED"


async def ready(*callers: object) -> None:
    """Wait until the recorder hears every caller."""
    async with asyncio.timeout(20):
        for caller in callers:
            await caller.ready.wait()  # type: ignore[attr-defined]


def assert_accounted(connector: Connector) -> None:
    """Assert that every track is told from its start to its end without a hole or an overlap."""
    session = connector.ingest.session
    assert session.end is not None
    for track in session.tracks.values():
        assert track.end is not None
        assert track.end <= session.end
        assert len(track.samples) == track.end - track.start
        assert all(before[1] == after[0] for before, after in pairwise(track.spans))


async def test_two_callers_arrive_whole_aligned_and_equally_long() -> None:
    said = {"Alice": speech_like(6.0, 1), "Bob": speech_like(6.0, 2)}
    async with (
        running_connector() as connector,
        open_caller("Alice", speech_from_samples(said["Alice"]), url=connector.url, room=ROOM) as alice,
        open_caller("Bob", speech_from_samples(said["Bob"]), url=connector.url, room=ROOM) as bob,
    ):
        await connector.sessions.join(SPEC)
        await ready(alice, bob)
        await asyncio.gather(alice.speak(), bob.speak())
        record = await connector.sessions.leave("acme", ROOM, "done")

    assert (record.state, record.reason) == (State.ENDED, "done")
    assert connector.ledger.states == [State.JOINING, State.LIVE, State.LEAVING, State.ENDED]
    assert_accounted(connector)
    session = connector.ingest.session
    assert (session.meeting_id, session.tenant_id) == (ROOM, "acme")
    starts = {}
    for name, samples in said.items():
        track = track_of(connector.ingest, name)
        assert (track.start, track.end, track.language) == (0, session.end, "en")
        starts[name], correlation = place_of(samples, track.samples)
        assert correlation > 0.95, (name, correlation)
    assert alice.player.started_at is not None
    assert bob.player.started_at is not None
    apart = (starts["Bob"] - starts["Alice"]) / RATE
    assert apart == pytest.approx(bob.player.started_at - alice.player.started_at, abs=0.1)
    assert session.start_time_ms / 1000 + starts["Alice"] / RATE == pytest.approx(alice.player.started_at, abs=0.25)


async def test_a_muted_participant_leaves_a_gap_and_no_sound() -> None:
    said = speech_like(5.0, 3)
    async with (
        running_connector() as connector,
        open_caller("Alice", speech_from_samples(said), url=connector.url, room=ROOM, mutes=[(1.5, 3.5)]) as alice,
    ):
        await connector.sessions.join(SPEC)
        await ready(alice)
        await alice.speak()
        await connector.sessions.leave("acme", ROOM, "")

    assert_accounted(connector)
    track = track_of(connector.ingest, "Alice")
    assert track.total("gap:muted") == pytest.approx(2.0 * RATE, abs=0.2 * RATE)
    assert track.total("gap:no_packets") == 0
    start, correlation = place_of(said[: round(1.4 * RATE)], track.samples)
    assert correlation > 0.9
    muted_from = next(span[0] for span in track.spans if span[2] == "gap:muted")
    assert muted_from - start == pytest.approx(1.5 * RATE, abs=0.15 * RATE)
    after, correlation = place_of(said[round(3.6 * RATE) :], track.samples)
    assert correlation > 0.9
    assert after - start == pytest.approx(3.6 * RATE, abs=0.05 * RATE)


async def test_ingest_killed_and_restarted_mid_call_loses_nothing() -> None:
    said = speech_like(6.0, 4)
    ingest = Ingest()
    port = lasting_port()
    async with (
        running_connector(ingest=ingest, ingest_port=port) as connector,
        open_caller("Alice", speech_from_samples(said), url=connector.url, room=ROOM) as alice,
    ):
        async with serving_ingest(ingest, port=port):
            await connector.sessions.join(SPEC)
            await ready(alice)
            speaking = asyncio.create_task(alice.speak())
            await until(lambda: heard(ingest, "Alice") > 2 * RATE)
        await asyncio.sleep(1.0)
        async with serving_ingest(ingest, port=port):
            await until(lambda: heard(ingest, "Alice") > 4 * RATE)
            ingest.drain()
            await speaking
            record = await connector.sessions.leave("acme", ROOM, "")

    assert record.state is State.ENDED
    assert len(ingest.session.epochs) >= 3
    assert_accounted(connector)
    track = track_of(ingest, "Alice")
    assert track.total("gap:overflow") == 0
    assert place_of(said, track.samples)[1] > 0.95


async def test_who_comes_later_starts_at_their_joining_and_who_leaves_ends_there() -> None:
    async with (
        running_connector(empty_room_seconds=1.0) as connector,
        open_caller("Bob", speech_from_samples(speech_like(1.0, 6)), url=connector.url, room=ROOM) as bob,
    ):
        await connector.sessions.join(SPEC)
        await ready(bob)
        await asyncio.sleep(1.0)
        async with open_caller("Alice", speech_from_samples(speech_like(2, 5)), url=connector.url, room=ROOM) as alice:
            await ready(alice)
            await alice.speak()
        await until(lambda: track_of(connector.ingest, "Alice").end is not None)
        await asyncio.sleep(0.5)
        await connector.sessions.leave("acme", ROOM, "")

    assert_accounted(connector)
    alice_track, bob_track = track_of(connector.ingest, "Alice"), track_of(connector.ingest, "Bob")
    assert bob_track.start == 0
    assert bob_track.end == connector.ingest.session.end
    assert alice_track.start > 0.9 * RATE
    assert alice_track.end is not None
    assert bob_track.end is not None
    assert alice_track.end < bob_track.end - 0.4 * RATE


async def test_the_session_ends_by_itself_when_everybody_has_left() -> None:
    async with running_connector(empty_room_seconds=0.5) as connector:
        await connector.sessions.join(SPEC)
        async with open_caller("Alice", speech_from_samples(speech_like(1, 7)), url=connector.url, room=ROOM) as alice:
            await ready(alice)
            await alice.speak()
        await until(lambda: not connector.sessions.active)
        record = await connector.sessions.find("acme", ROOM)

    assert (record.state, record.reason) == (State.ENDED, "everyone has left")
    assert_accounted(connector)
    assert connector.ingest.session.end == track_of(connector.ingest, "Alice").end


async def test_the_recorder_comes_back_after_losing_the_room() -> None:
    said = speech_like(6.0, 8)
    async with (
        running_connector() as connector,
        open_caller("Alice", speech_from_samples(said), url=connector.url, room=ROOM) as alice,
    ):
        await connector.sessions.join(SPEC)
        await ready(alice)
        before = heard(connector.ingest, "Alice")
        speaking = asyncio.create_task(alice.speak())
        await until(lambda: heard(connector.ingest, "Alice") > before + 2.3 * RATE)
        await connector.rooms.drop("recorder")
        await until(lambda: connector.sessions.active[0].record.attempts == 2)
        await speaking
        record = await connector.sessions.leave("acme", ROOM, "")

    assert record.state is State.ENDED
    assert State.RECONNECTING in connector.ledger.states
    assert_accounted(connector)
    track = track_of(connector.ingest, "Alice")
    first, correlation = place_of(said[: round(1.8 * RATE)], track.samples)
    assert correlation > 0.9
    last, correlation = place_of(said[-round(1.5 * RATE) :], track.samples)
    assert correlation > 0.9
    assert last - first == pytest.approx(4.5 * RATE, abs=0.1 * RATE)


async def test_a_reconnect_goes_on_with_each_track_and_says_that_the_recorder_was_away() -> None:
    said = speech_like(7.0, 12)
    async with (
        running_connector() as connector,
        open_caller("Alice", speech_from_samples(said), url=connector.url, room=ROOM) as alice,
    ):
        await connector.sessions.join(SPEC)
        await ready(alice)
        before = heard(connector.ingest, "Alice")
        speaking = asyncio.create_task(alice.speak())
        await until(lambda: heard(connector.ingest, "Alice") > before + 2.3 * RATE)
        again = await connector.sessions.reconnect("acme", ROOM, "echo")
        assert (again.state, again.attempts) == (State.LIVE, 2)
        await speaking
        record = await connector.sessions.leave("acme", ROOM, "")

    assert record.state is State.ENDED
    assert_accounted(connector)
    track = track_of(connector.ingest, "Alice")
    away = track.total("gap:away") + track.total("gap:no_packets")
    assert 0 < away < 3 * RATE
    assert track.total("gap:away") > 0
    first, correlation = place_of(said[: round(1.8 * RATE)], track.samples)
    assert correlation > 0.9
    last, correlation = place_of(said[-round(1.5 * RATE) :], track.samples)
    assert correlation > 0.9
    assert last - first == pytest.approx(5.5 * RATE, abs=0.1 * RATE)


async def test_a_lost_connection_is_made_anew_at_the_recorders_request() -> None:
    said = speech_like(7.0, 9)
    async with (
        running_connector() as connector,
        open_caller("Alice", speech_from_samples(said), url=connector.url, room=ROOM) as alice,
    ):
        await connector.sessions.join(SPEC)
        await ready(alice)
        before = heard(connector.ingest, "Alice")
        speaking = asyncio.create_task(alice.speak())
        await until(lambda: heard(connector.ingest, "Alice") > before + 2.3 * RATE)
        await alice.hang_up()
        await until(lambda: {"restart": True} in connector.rooms.signals)
        await speaking
        await connector.sessions.leave("acme", ROOM, "")

    assert_accounted(connector)
    track = track_of(connector.ingest, "Alice")
    first, _ = place_of(said[: round(1.8 * RATE)], track.samples)
    last, correlation = place_of(said[-round(1.5 * RATE) :], track.samples)
    assert correlation > 0.9
    assert last - first == pytest.approx(5.5 * RATE, abs=0.15 * RATE)


async def test_nobody_there_is_live_after_a_second_and_ends_without_a_track() -> None:
    async with running_connector() as connector:
        first = await connector.sessions.join(SPEC)
        again = await connector.sessions.join(SPEC)
        assert again.session_id == first.session_id
        await until(lambda: connector.sessions.active[0].record.state is State.LIVE)
        record = await connector.sessions.leave("acme", ROOM, "nobody came")

    assert record.state is State.ENDED
    assert connector.ingest.session.tracks == {}
    assert connector.ingest.session.end is not None


async def test_a_room_that_refuses_the_recorder_fails_the_join() -> None:
    async with running_connector() as connector:
        connector.rooms.recorder_token = "another"
        with pytest.raises(ProviderFailed, match="forbidden"):
            await connector.sessions.join(SPEC)
        record = await connector.sessions.find("acme", ROOM)

    assert record.state is State.FAILED
    assert connector.ingest.sessions == {}


async def test_a_meeting_that_ingest_refuses_fails_the_session() -> None:
    ingest = Ingest()
    ingest.refusal = grpc.StatusCode.NOT_FOUND
    async with running_connector(ingest=ingest) as connector:
        await connector.sessions.join(SPEC)
        await until(lambda: not connector.sessions.active)
        record = await connector.sessions.find("acme", ROOM)

    assert record.state is State.FAILED
    assert "NOT_FOUND" in record.reason


async def test_a_meeting_finished_by_somebody_else_ends_the_session_in_good_order() -> None:
    async with running_connector() as connector:
        await connector.sessions.join(SPEC)
        await until(lambda: bool(connector.ingest.sessions))
        connector.ingest.refusal = MeetingFinished(meeting_id=ROOM)
        connector.ingest.drain()
        await until(lambda: not connector.sessions.active)
        record = await connector.sessions.find("acme", ROOM)

    assert (record.state, record.reason) == (State.ENDED, "the meeting was finished")


async def test_the_database_being_away_does_not_stop_a_session() -> None:
    async with (
        running_connector() as connector,
        open_caller("Alice", speech_from_samples(speech_like(1, 1)), url=connector.url, room=ROOM) as alice,
    ):
        await connector.sessions.join(SPEC)
        connector.ledger.away = True
        await ready(alice)
        await alice.speak()
        connector.ledger.away = False
        record = await connector.sessions.leave("acme", ROOM, "")

    assert record.state is State.ENDED
    assert connector.ledger.records[record.session_id].state is State.ENDED
    assert np.abs(track_of(connector.ingest, "Alice").samples).max() > 3000


async def test_what_cannot_be_joined_or_found_says_so() -> None:
    async with running_connector() as connector:
        with pytest.raises(ProviderUnknown):
            await connector.sessions.join(SPEC, provider="elsewhere")
        with pytest.raises(SessionNotFound):
            await connector.sessions.find("acme", "another meeting")
        with pytest.raises(ProviderFailed, match="not that of a room"):
            await connector.sessions.join(JoinSpec("m", "acme", meeting_url="https://example.org/meet"))
