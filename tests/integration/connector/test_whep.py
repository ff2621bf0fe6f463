"""Subscribing over WHEP to a real server: names, a lost connection, refusals, and who is shown the token."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr, ValidationError

from examples.callers.player import Player
from examples.callers.speech import speech_from_samples
from kit.ids import new_id
from services.connector.clock import SessionClock
from services.connector.provider import CallRefused, JoinSpec, Patience, ProviderAway, Surroundings
from services.connector.providers import whep
from services.connector.providers.whep import WhepProvider, WhepSettings, WhepSource
from tests.fakes.call_recording import CallRecording
from tests.fakes.whep_server import running_whep
from tests.integration.connector.harness import RATE, place_of, speech_like, until

PATIENCE = Patience(empty_room=1.0, rejoin=20.0)


@asynccontextmanager
async def subscribed(
    url: str, recording: CallRecording, *, patience: Patience = PATIENCE, **settings: object
) -> AsyncIterator[WhepSource]:
    provider = WhepProvider(
        WhepSettings(**{"hosts": "127.0.0.1", **settings}),  # type: ignore[arg-type]
        Surroundings("", None, patience=patience),
    )
    spec = JoinSpec(new_id(), "acme", url)
    async with provider.open_source(spec, SessionClock(), recording, recording) as source:
        yield source


@pytest.mark.realtime
async def test_every_track_is_a_participant_and_a_lost_connection_is_made_anew() -> None:
    said = [speech_like(2.0, 1), speech_like(2.0, 2)]
    players = [Player(speech_from_samples(samples)) for samples in said]
    recording = CallRecording()
    streams = [("9b2e6f0c-5a1d-4c6e-8f57-8d7f0c1b2a3e", players[0]), ("Bob_Stone", players[1])]
    async with running_whep(streams) as server:
        async with subscribed(server.url, recording, audio_lines=2) as source:
            await until(lambda: recording.heard("Speaker 1") > 0 and recording.heard("Bob Stone") > 0)
            players[0].start()
            await players[0].finished.wait()
            await server.lose_media()
            await until(lambda: recording.events[-1] == "recovered")
            players[1].start()
            await players[1].finished.wait()
            await asyncio.sleep(0.3)
            end = source.finish()
        assert server.deleted == ["/subscriptions/0", "/subscriptions/1"]
    assert recording.events[:3] == ["entered", "live", "reconnecting"]
    assert [(track.name, track.basis.value) for track in recording.tracks] == [
        ("Speaker 1", "guess"),
        ("Bob Stone", "roster"),
    ]
    for track, samples in zip(recording.tracks, said, strict=True):
        assert place_of(samples, track.samples)[1] > 0.9
        assert track.end == end
    first, second = (place_of(samples, track.samples)[0] for track, samples in zip(recording.tracks, said, strict=True))
    apart = (second - first) / RATE
    assert players[0].started_at is not None
    assert players[1].started_at is not None
    assert apart == pytest.approx(players[1].started_at - players[0].started_at, abs=0.1)


async def test_a_name_in_the_address_is_the_speakers() -> None:
    recording = CallRecording()
    async with (
        running_whep([("Somebody", Player(speech_from_samples(speech_like(0.5, 1))))]) as server,
        subscribed(f"{server.url}?name=Anna%20Weber", recording) as source,
    ):
        await until(lambda: "live" in recording.events)
        assert [heard.display_name for heard in source.participants] == ["Anna Weber"]
    assert recording.track("Anna Weber").basis == "own_track"


async def test_a_refusal_is_final_and_a_failure_is_tried_again() -> None:
    async with running_whep([("Somebody", Player(speech_from_samples(speech_like(0.5, 1))))]) as server:
        server.refuses = 403
        async with subscribed(server.url, CallRecording()) as source:
            with pytest.raises(CallRefused, match="403"):
                await source.over()
        assert server.posts == 1
        server.refuses = 503
        recording = CallRecording()
        async with subscribed(server.url, recording) as source:
            await until(lambda: server.posts == 3)
            server.refuses = 0
            await until(lambda: "entered" in recording.events)
            server.refuses = 404
            await server.lose_media()
        async with subscribed(server.url, recording, patience=Patience(rejoin=0.0)) as source:
            with pytest.raises(CallRefused, match="404"):
                await source.over()


async def test_a_stream_that_its_server_no_longer_has_is_over() -> None:
    recording = CallRecording()
    async with (
        running_whep([("Somebody", Player(speech_from_samples(speech_like(0.5, 1))))]) as server,
        subscribed(server.url, recording, patience=Patience(rejoin=0.5)) as source,
    ):
        await until(lambda: "live" in recording.events)
        server.refuses = 404
        await server.lose_media()
        async with asyncio.timeout(15):
            assert await source.over() == "the stream has ended"


@pytest.mark.parametrize(
    "head",
    [
        "307 Temporary Redirect\r\nlocation: http://[example.org",
        "307 Temporary Redirect\r\nlocation: http://127.0.0.1:99999999/",
        "307 Temporary Redirect\r\nlocation: /talk",
        "307 Temporary Redirect",
        "201 Created\r\nlocation: http://[example.org\r\ncontent-length: 5",
        "201 Created\r\nlocation: /\r\ncontent-length: 0",
        "201 Created\r\ncontent-length: 300000",
    ],
)
async def test_an_answer_that_leads_nowhere_is_a_refusal(head: str) -> None:
    async with (
        answering(f"HTTP/1.1 {head}\r\n\r\n".encode() + b"v" * 300_000) as (url, _),
        subscribed(url, CallRecording()) as source,
    ):
        with pytest.raises(CallRefused):
            await source.over()


async def test_an_answer_that_never_ends_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whep, "_HTTP_SECONDS", 0.5)
    async with (
        answering(b"HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n", drip=True) as (url, posts),
        subscribed(url, CallRecording()),
    ):
        await until(lambda: len(posts) > 1)


@asynccontextmanager
async def answering(answer: bytes, *, drip: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Answer every request with the same, and then with a byte now and then; yields the address and the requests."""
    posts: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        posts.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            writer.write(answer)
            while drip:
                await asyncio.sleep(0.05)
                writer.write(b"v")
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/whep", posts
    finally:
        server.close()


async def test_the_token_is_shown_to_its_server_alone() -> None:
    async with running_whep([("Somebody", Player(speech_from_samples(speech_like(0.5, 1))))]) as server:
        server.refuses = 401
        for host in ("127.0.0.1", "elsewhere.example.org"):
            async with subscribed(server.url, CallRecording(), token=SecretStr("secret"), token_host=host) as source:
                with pytest.raises(CallRefused, match="401"):
                    await source.over()
        assert server.authorizations == ["Bearer secret", ""]
    with pytest.raises(ValidationError, match="WHEP_TOKEN_HOST"):
        WhepSettings(token=SecretStr("secret"))


async def test_only_named_servers_are_subscribed_to() -> None:
    for url in ("https://elsewhere.example.org/talk", "ftp://127.0.0.1/talk", "talk"):
        with pytest.raises(CallRefused):
            async with subscribed(url, CallRecording()):
                pass
    with pytest.raises(ProviderAway):
        await WhepProvider(WhepSettings(hosts=("127.0.0.1:1",)), Surroundings("", None)).probe()
