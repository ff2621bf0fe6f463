"""The other side of each kind of provider, run for a test. A new provider adds one function and one line to `PEERS`."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from pydantic import SecretStr
from websockets.asyncio.client import connect

from examples.callers.player import Player
from examples.callers.speech import speech_from_samples
from kit.settings import Section
from services.connector.clock import SessionClock
from services.connector.provider import (
    Basis,
    Heard,
    JoinSpec,
    Provider,
    PullProvider,
    Surroundings,
)
from services.connector.providers.janus import JanusSettings
from services.connector.providers.sberjazz import SberJazzSettings
from services.connector.providers.sberjazz_mock import SberJazzMockSettings
from services.connector.providers.sberjazz_mock.server import DEFAULT_TOKEN, open_mock
from services.connector.providers.sberjazz_mock.voices import Voice
from services.connector.providers.whep import WhepSettings
from services.connector.providers.whip import WhipProvider, WhipSettings
from services.connector.registry import installed_kinds
from services.connector.spans import Kind, Reason
from tests.fakes.chunk_sink import MemoryChunks, Notes
from tests.fakes.room_server import running_rooms
from tests.fakes.whep_server import running_whep
from tests.fakes.whip_publisher import offer_of
from tests.system.connector.janus_server import API_SECRET, PIN, ROOM, installed, make_janus, open_publisher
from tests.system.connector.ports import free_ports, media_ports

SECONDS = 20.0
"""Bound of every wait."""
NOWHERE = "http://127.0.0.1:1"
TOKEN = "service-key-of-the-tests"


@dataclass
class Peer:
    """A running other side with one participant in its call.

    `settings` and `surroundings` reach it, `unreachable` are settings that reach nobody (None: the kind needs no
    address, or `surroundings` alone say it), `named` is how its participant must be known.
    """

    settings: Section | None
    surroundings: Surroundings
    spec: JoinSpec
    named: tuple[str, Basis]
    unreachable: Section | None = None
    foreign_url: str = "mailto:somebody@example.org"
    """An address that is none of this provider's."""
    settled: str = "entered"
    """What the listener hears when the recorder is in for good: "live" where the other side sends sound."""
    arrive: Callable[[Any], Awaitable[None]] | None = None
    """Brings the participant to the recorder that waits, given its provider, where people come to us."""
    hang_up: Callable[[], Awaitable[None]] | None = None
    """Closes what the other side, in the same process, keeps of a call that was left."""
    asked: bool = True
    """Whether there is anybody that a probe could ask."""


PeerRunner = Callable[[], AbstractAsyncContextManager[Peer]]


@asynccontextmanager
async def room() -> AsyncIterator[Peer]:
    """The mesh's own rooms: a signalling server and a guest who sends nothing."""
    async with running_rooms(recorder_token=TOKEN) as rooms:
        spec = JoinSpec("m-1", "acme", language="en", session_id="s-1")
        async with connect(rooms.signal_url("m-1"), proxy=None) as guest:
            await guest.send(json.dumps({"v": 1, "type": "join", "room": "m-1", "name": "Alice", "role": "guest"}))
            await guest.recv()
            yield Peer(None, Surroundings(rooms.url, TOKEN), spec, ("Alice", Basis.OWN_TRACK))


@asynccontextmanager
async def sberjazz() -> AsyncIterator[Peer]:
    """SberJazz: its stand-in."""
    sound = np.random.default_rng(1).integers(-9_000, 9_000, 16_000 * 30).astype(np.int16)
    async with open_mock([Voice("p-1", "Alice", sound)], chunk_seconds=0.1) as (_, url):
        yield Peer(
            SberJazzSettings(api_base=url, api_token=DEFAULT_TOKEN, http_retry_backoff_ms=10),
            Surroundings(NOWHERE, None, notice="This call is recorded."),
            JoinSpec("m-1", "acme", meeting_url="https://jazz.example.org/call", session_id="s-1"),
            ("Alice", Basis.OWN_TRACK),
            unreachable=SberJazzSettings(api_base=NOWHERE, api_token="x", http_retries=0),
        )


@asynccontextmanager
async def sberjazz_mock() -> AsyncIterator[Peer]:
    """The stand-in that the provider starts by itself."""
    yield Peer(
        SberJazzMockSettings(chunk_ms=100),
        Surroundings(NOWHERE, None),
        JoinSpec("m-1", "acme", session_id="s-1"),
        ("Anna", Basis.OWN_TRACK),
        unreachable=SberJazzMockSettings(base=NOWHERE),
    )


@asynccontextmanager
async def whep() -> AsyncIterator[Peer]:
    """WHEP: a server with one stream."""
    silence = np.zeros(1_600, np.int16)
    async with running_whep([("Alice", Player(speech_from_samples(silence)))]) as server:
        spec = JoinSpec("m-1", "acme", meeting_url=server.url, session_id="s-1")
        yield Peer(
            WhepSettings(hosts=(urlsplit(server.url).netloc,)),
            Surroundings(NOWHERE, None),
            spec,
            ("Alice", Basis.ROSTER),
            unreachable=WhepSettings(hosts=("127.0.0.1:1",)),
            settled="live",
            hang_up=server.lose_media,
        )


@asynccontextmanager
async def whip() -> AsyncIterator[Peer]:
    """WHIP: somebody who publishes to the meeting as soon as the recorder waits."""
    connections: list[RTCPeerConnection] = []

    async def arrive(provider: WhipProvider) -> None:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        connections.append(connection)
        offer = await offer_of(connection, Player(speech_from_samples(np.zeros(1_600, np.int16))))
        _, answer = await provider.source("acme", "m-1").publish(offer, "Alice")
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def hang_up() -> None:
        while connections:
            await connections.pop().close()

    try:
        yield Peer(
            WhipSettings(),
            Surroundings(NOWHERE, None),
            JoinSpec("m-1", "acme", session_id="s-1"),
            ("Alice", Basis.OWN_TRACK),
            settled="live",
            arrive=arrive,
            hang_up=hang_up,
            asked=False,
        )
    finally:
        await hang_up()


@asynccontextmanager
async def janus() -> AsyncIterator[Peer]:
    """Janus: a real server, and somebody who publishes in its room."""
    with tempfile.TemporaryDirectory() as folder:
        socket_port, http_port = free_ports(2)
        server = make_janus(Path(folder), (socket_port, http_port), media_ports())

        def settings(url: str) -> JanusSettings:
            return JanusSettings(url=url, api_secret=SecretStr(API_SECRET), room_pin=SecretStr(PIN))

        async with (
            server.running(),
            open_publisher(server, "Alice", speech_from_samples(np.zeros(1_600, np.int16))),
        ):
            yield Peer(
                settings(server.socket_url),
                Surroundings(NOWHERE, None),
                JoinSpec("m-1", "acme", meeting_url=f"janus://127.0.0.1/{ROOM}", session_id="s-1"),
                ("Alice", Basis.OWN_TRACK),
                unreachable=settings("ws://127.0.0.1:1"),
                settled="live",
            )


PEERS: dict[str, PeerRunner] = {
    "janus": janus,
    "room": room,
    "sberjazz": sberjazz,
    "sberjazz_mock": sberjazz_mock,
    "whep": whep,
    "whip": whip,
}
"""How each provider's other side is run here."""
NEEDS: dict[str, Sequence[pytest.MarkDecorator]] = {
    "janus": (pytest.mark.system, pytest.mark.skipif(not installed(), reason="Debian's package janus is not there"))
}
"""What of them needs more than Python packages."""
WITHOUT_PEER: dict[str, str] = {"browser": "tests/system/connector/test_browser_provider.py"}
"""Providers without one, and where they are tested instead: a browser takes seconds to start and to give up."""


@dataclass
class Tracks:
    """Takes what a push source writes, and insists that spans follow on."""

    names: list[tuple[str, str, Basis]] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    ended: set[int] = field(default_factory=set)

    def start_track(self, participant_id: str, display_name: str, basis: Basis, start_sample: int) -> int:
        self.names.append((participant_id, display_name, basis))
        self.positions.append(start_sample)
        return len(self.positions)

    def audio(self, track: int, start_sample: int, pcm: bytes, kind: Kind) -> None:
        self._extend(track, start_sample, start_sample + len(pcm) // 2)

    def gap(self, track: int, start_sample: int, end_sample: int, reason: Reason) -> None:
        self._extend(track, start_sample, end_sample)

    def end_track(self, track: int, end_sample: int) -> None:
        assert self.positions[track - 1] == end_sample
        self.ended.add(track)

    def _extend(self, track: int, start_sample: int, end_sample: int) -> None:
        assert track not in self.ended, "a span after the end of its track"
        assert start_sample == self.positions[track - 1], "a span that does not follow on"
        assert end_sample > start_sample
        self.positions[track - 1] = end_sample


@dataclass
class Ear:
    """The recorder in a call, whatever the provider's family."""

    notes: Notes
    tracks: Tracks
    chunks: MemoryChunks
    source: Any
    pulls: bool

    @property
    def participants(self) -> Sequence[Heard]:
        """Who is in the call."""
        return self.source.participants  # type: ignore[no-any-return]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, pulling meanwhile where audio has to be pulled."""
        async with asyncio.timeout(SECONDS):
            while not condition():
                if self.pulls:
                    await self.source.pull(100)
                await asyncio.sleep(0.02)


@asynccontextmanager
async def joined(
    provider: Provider | PullProvider,
    spec: JoinSpec,
    *,
    pulls: bool,
    arrive: Callable[[Any], Awaitable[None]] | None = None,
) -> AsyncIterator[Ear]:
    """Be in a call for the block; a push source is finished at its end, as a session does it."""
    notes, tracks, chunks = Notes(), Tracks(), MemoryChunks()
    async with AsyncExitStack() as stack:
        opening: Any = (
            provider.open_pull(spec, chunks, notes, rejoin=False)  # type: ignore[union-attr]
            if pulls
            else provider.open_source(spec, SessionClock(), tracks, notes)  # type: ignore[union-attr]
        )
        source = await stack.enter_async_context(opening)
        if arrive:
            await arrive(provider)
        yield Ear(notes, tracks, chunks, source, pulls)
        if not pulls:
            source.finish()


def made(name: str, settings: Section | None, surroundings: Surroundings) -> Provider | PullProvider:
    """Make a provider as the registry does."""
    return installed_kinds()[name].make(settings, surroundings)
