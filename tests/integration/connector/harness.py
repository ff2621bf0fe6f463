"""A connector on real signalling, real WebRTC and a real gRPC stream; and how waveforms are compared."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.rpc.client import open_channel
from services.connector.provider import JoinSpec, Patience, Surroundings
from services.connector.registry import make_registry
from services.connector.sessions.session import SessionOptions
from services.connector.sessions.sessions import Sessions, open_sessions
from tests.fakes.ingest_server import Ingest, RecordedTrack, serving_ingest
from tests.fakes.keepers import memory_keepers
from tests.fakes.room_server import RoomServer, running_rooms
from tests.fakes.session_ledger import MemoryLedger

RATE = 16_000
TOKEN = "service-key-of-the-tests"
ROOM = "meeting-1"
SPEC = JoinSpec(meeting_id=ROOM, tenant_id="acme", language="en")


@dataclass
class Connector:
    """What a test talks to."""

    sessions: Sessions
    rooms: RoomServer
    ingest: Ingest
    ledger: MemoryLedger

    @property
    def url(self) -> str:
        """Signalling of the meeting's room."""
        return self.rooms.signal_url(ROOM)


@asynccontextmanager
async def running_connector(
    *, ingest: Ingest | None = None, ingest_port: int | None = None, empty_room_seconds: float = 10.0
) -> AsyncIterator[Connector]:
    """Run the sessions of a connector for the block, with an ingest of its own unless a port is given."""
    ingest = ingest or Ingest()
    async with AsyncExitStack() as stack:
        rooms = await stack.enter_async_context(running_rooms(recorder_token=TOKEN))
        port = ingest_port or await stack.enter_async_context(serving_ingest(ingest))
        channel = await stack.enter_async_context(open_channel(f"127.0.0.1:{port}", api_key=TOKEN))
        ledger = MemoryLedger()
        patience = Patience(empty_room=empty_room_seconds)
        registry = make_registry(Surroundings(rooms.url, TOKEN, patience=patience), "room")
        bounds = SessionOptions(backlog_bytes=8 * 1024 * 1024, ack_seconds=5.0, finish_seconds=15.0)
        sessions = await stack.enter_async_context(
            open_sessions(registry, channel, memory_keepers(ledger, channel), bounds)
        )
        yield Connector(sessions, rooms, ingest, ledger)


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: it does not come about.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in other processes' protocols
            await asyncio.sleep(0.02)


def lasting_port() -> int:
    """Return a free port below those that the system hands out, so that a restarted server gets it again."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def speech_like(seconds: float, seed: int) -> NDArray[np.int16]:
    """Make something with the rhythm and the spectrum of speech: a voice in syllables, with pauses between phrases."""
    dice = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 110 + 60 * dice.random() + 15 * np.sin(2 * np.pi * 0.7 * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(harmonic * phase + seed * harmonic) / harmonic for harmonic in range(1, 18))
    syllables = 0.5 + 0.5 * np.sin(2 * np.pi * (3.1 + dice.random()) * time + seed)
    phrases = (np.sin(2 * np.pi * 0.4 * time + seed) > -0.3).astype(float)
    phrases = np.convolve(phrases, np.ones(400) / 400, mode="same")
    noise = dice.normal(0, 0.05, len(time))
    signal = (voice * syllables + noise) * phrases
    signal[phrases < 1e-6] = 0
    loud: NDArray[np.int16] = (signal / np.abs(signal).max() * 12_000).astype(np.int16)
    return loud


def place_of(source: NDArray[Any], recorded: NDArray[Any]) -> tuple[int, float]:
    """Find a source in a recording: the sample where it starts, and the correlation there, in [-1, 1]."""
    said, heard = source.astype(float), recorded.astype(float)
    size = 1 << (len(said) + len(heard)).bit_length()
    products = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size)), size)
    start = int(np.argmax(products[: len(heard)]))
    part = heard[start : start + len(said)]
    said = said[: len(part)]
    return start, float((said * part).sum() / np.sqrt((said**2).sum() * (part**2).sum() + 1e-9))


def heard(ingest: Ingest, name: str) -> int:
    """Return how far a participant's track has come, in samples."""
    tracks = [track for session in ingest.sessions.values() for track in session.tracks.values()]
    return max((track.position for track in tracks if track.name == name), default=0)


def track_of(ingest: Ingest, name: str) -> RecordedTrack:
    """Return the only track of a participant."""
    (track,) = [track for track in ingest.session.tracks.values() if track.name == name]
    return track
