"""A VideoRoom of a real Janus server, with everybody's words under their own name."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from examples.callers.speech import speech_from_samples
from kit.ids import new_id
from services.connector.clock import SessionClock
from services.connector.provider import CallRefused, JoinSpec, Patience, Surroundings
from services.connector.providers.janus import JanusProvider, JanusSettings, JanusSource
from services.connector.providers.janus_client import open_janus
from tests.fakes.call_recording import CallRecording
from tests.integration.connector.harness import RATE, place_of, speech_like, until
from tests.system.connector.janus_server import (
    API_SECRET,
    PIN,
    ROOM,
    ROOM_SECRET,
    JanusServer,
    Publisher,
    installed,
    make_janus,
    open_publisher,
)
from tests.system.connector.microphone import likeness, open_microphone, serving_blank_page
from tests.system.connector.ports import free_ports, media_ports

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not installed(), reason="Debian's package janus is not installed"),
]


@pytest.fixture
def janus(tmp_path: Path) -> JanusServer:
    """A server that is not running yet."""
    folder = tmp_path / "janus"
    folder.mkdir()
    socket_port, http_port = free_ports(2)
    return make_janus(folder, (socket_port, http_port), media_ports())


def provider(url: str, *, api_secret: str = API_SECRET, pin: str = PIN) -> JanusProvider:
    settings = JanusSettings(url=url, api_secret=SecretStr(api_secret), room_pin=SecretStr(pin))
    surroundings = Surroundings("", None, "Recorder", patience=Patience(empty_room=1.0, rejoin=30.0))
    return JanusProvider(settings, surroundings)


@asynccontextmanager
async def recorder(url: str, recording: CallRecording) -> AsyncIterator[JanusSource]:
    spec = JoinSpec(new_id(), "acme", f"janus://127.0.0.1/{ROOM}")
    async with provider(url).open_source(spec, SessionClock(), recording, recording) as source:
        await until(lambda: "entered" in recording.events)
        yield source


def hears(recording: CallRecording, *publishers: Publisher) -> Callable[[], bool]:
    """Return whether a connection to the recorder carries every publisher's packets, of silence at first."""
    return lambda: all(recording.heard(publisher.name) for publisher in publishers)


async def speak(*publishers: Publisher) -> None:
    """Let people speak all they have to say."""
    for publisher in publishers:
        publisher.player.start()
    for publisher in publishers:
        await publisher.player.finished.wait()
    await asyncio.sleep(0.3)  # the last packets are under way


@pytest.mark.parametrize("transport", ["socket_url", "http_url"])
async def test_everybody_is_heard_under_their_own_name(janus: JanusServer, transport: str) -> None:
    said = {name: speech_like(3.0, seed) for seed, name in enumerate(("Alice", "Bob", "Carol"), 1)}
    speech = {name: speech_from_samples(samples) for name, samples in said.items()}
    recording = CallRecording()
    async with (
        janus.running(),
        recorder(getattr(janus, transport), recording) as source,
        open_publisher(janus, "Alice", speech["Alice"]) as alice,
        open_publisher(janus, "Bob", speech["Bob"]) as bob,
    ):
        await until(hears(recording, alice, bob))
        await speak(alice, bob)
        await alice.leave()
        await until(lambda: [heard.display_name for heard in source.participants] == ["Bob"])
        # Carol gets the line over which Alice was heard.
        async with open_publisher(janus, "Carol", speech["Carol"]) as carol:
            await until(hears(recording, carol))
            await speak(carol)
            source.finish()

    for name, samples in said.items():
        for track in recording.tracks:
            _, correlation = place_of(samples, track.samples)
            assert correlation > 0.9 if track.name == name else correlation < 0.5, (name, track.name, correlation)
    assert {(track.name, track.basis) for track in recording.tracks} == {(name, "own_track") for name in said}
    assert sorted(recording.notices) == [(name, "roster") for name in said]


async def test_the_recorder_is_seen_and_moderators_mutes_are_gaps(janus: JanusServer) -> None:
    recording = CallRecording()
    async with (
        janus.running(),
        recorder(janus.socket_url, recording) as source,
        open_publisher(janus, "Alice", speech_from_samples(speech_like(1.0, 1))) as alice,
    ):
        await until(hears(recording, alice))
        mute = {"room": ROOM, "secret": ROOM_SECRET, "id": alice.feed_id, "mid": "0"}
        await alice.request("moderate", mute=True, **mute)
        await until(lambda: source.participants[0].muted)
        await asyncio.sleep(1.0)
        await alice.request("moderate", mute=False, **mute)
        await until(lambda: not source.participants[0].muted)
        heard = recording.heard("Alice")
        await until(lambda: recording.heard("Alice") > heard)
        await alice.request("unpublish")
        await until(lambda: source.participants[0].muted)
        await alice.leave()
        async with asyncio.timeout(10):
            assert await source.over() == "everyone has left"
        source.finish()
    assert recording.track("Alice").spans.total("muted") > 0.8 * RATE


async def test_a_restarted_server_is_joined_again_on_the_same_timeline(janus: JanusServer) -> None:
    said = {name: speech_like(2.0, seed) for seed, name in enumerate(("Alice", "Bob"), 1)}
    recording = CallRecording()
    async with AsyncExitStack() as stack:
        async with janus.running():
            source = await stack.enter_async_context(recorder(janus.socket_url, recording))
            async with open_publisher(janus, "Alice", speech_from_samples(said["Alice"])) as alice:
                await until(hears(recording, alice))
                await speak(alice)
        await until(lambda: "reconnecting" in recording.events)
        async with janus.running():
            await until(lambda: recording.events[-1] == "recovered")
            async with open_publisher(janus, "Bob", speech_from_samples(said["Bob"])) as bob:
                await until(hears(recording, bob))
                await speak(bob)
                end = source.finish()
    alice_track, bob_track = recording.track("Alice"), recording.track("Bob")
    assert place_of(said["Alice"], alice_track.samples)[1] > 0.9
    assert place_of(said["Bob"], bob_track.samples)[1] > 0.9
    assert alice_track.end is not None
    assert 0 < alice_track.end < bob_track.spans.start < (bob_track.end or 0) == end


async def test_who_is_refused_says_why(janus: JanusServer) -> None:
    spec = JoinSpec(new_id(), "acme", str(ROOM))
    recording = CallRecording()
    async with janus.running():
        await provider(janus.socket_url).probe()
        with pytest.raises(CallRefused, match="403"):
            await provider(janus.socket_url, api_secret="wrong").probe()
        async with provider(janus.socket_url, pin="wrong").open_source(
            spec, SessionClock(), recording, recording
        ) as source:
            with pytest.raises(CallRefused, match="433"):
                await source.over()
        assert recording.events == []
        for request, reason in (("kick", "removed from the room"), ("destroy", "the room was closed")):
            async with (
                recorder(janus.socket_url, recording) as source,
                open_publisher(janus, "Alice", speech_from_samples(speech_like(1.0, 1))) as alice,
            ):
                fields = {"id": await alice.id_of("Recorder")} if request == "kick" else {}
                await alice.request(request, room=ROOM, secret=ROOM_SECRET, **fields)
                if request == "kick":
                    with pytest.raises(CallRefused, match=reason):
                        await source.over()
                else:
                    assert await source.over() == reason


async def test_a_browser_and_a_program_are_told_apart(janus: JanusServer, tmp_path: Path) -> None:
    said = {"Alice": speech_like(3.0, 1), "Bob": speech_like(3.0, 2)}
    recording = CallRecording()
    async with (
        janus.running(),
        serving_blank_page() as origin,
        open_microphone(tmp_path, origin, said["Alice"]) as microphone,
        recorder(janus.socket_url, recording) as source,
        open_publisher(janus, "Bob", speech_from_samples(said["Bob"])) as bob,
        open_janus(janus.socket_url, janus.proofs) as session,
    ):
        alice = await session.attach("janus.plugin.videoroom")
        await alice.message({"request": "join", "ptype": "publisher", "room": ROOM, "pin": PIN, "display": "Alice"})
        offer = {"type": "offer", "sdp": await microphone.offer()}
        answered = await alice.message({"request": "publish"}, offer)
        await microphone.accept(answered["jsep"]["sdp"])
        await until(hears(recording, bob))
        await speak(bob)
        await until(lambda: recording.heard("Alice") > 6.5 * RATE, 30)
        source.finish()
    for track in recording.tracks:
        for name, samples in said.items():
            alike = likeness(samples, track.samples)
            assert alike > 0.93 if track.name == name else alike < 0.5, (name, track.name, alike)
    assert sorted(track.name for track in recording.tracks) == ["Alice", "Bob"]
