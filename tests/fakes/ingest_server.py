"""An ingest that keeps the contract of StreamAudio and remembers what it was told, over restarts of its server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from agent.common.v1.audio_pb2 import AudioKind, GapReason
from agent.ingest.v1.audio_service_pb2 import (
    AudioDrain,
    AudioDurable,
    SessionOpened,
    StreamAudioRequest,
    StreamAudioResponse,
)
from agent.ingest.v1.audio_service_pb2_grpc import AudioServiceServicer, add_AudioServiceServicer_to_server
from kit.errors import AppError
from kit.rpc.status import abort

_COMMIT_SECONDS = 0.1


@dataclass
class RecordedTrack:
    """One track as it arrived; spans are `(start, end, "ok" | ... | "gap:muted" | ...)`."""

    participant_id: str
    name: str
    start: int
    language: str
    spans: list[tuple[int, int, str]] = field(default_factory=list)
    pcm: bytearray = field(default_factory=bytearray)
    end: int | None = None

    @property
    def position(self) -> int:
        """Sample after the last."""
        return self.spans[-1][1] if self.spans else self.start

    @property
    def samples(self) -> NDArray[np.int16]:
        """The waveform from the start of the track, gaps as zeros."""
        return np.frombuffer(bytes(self.pcm), "<i2")

    def total(self, kind: str) -> int:
        """Return the number of samples of a kind."""
        return sum(end - start for start, end, each in self.spans if each == kind)


@dataclass
class RecordedSession:
    """One session as it is on disk."""

    meeting_id: str
    tenant_id: str | None
    start_time_ms: int
    next_sequence: int = 1
    tracks: dict[int, RecordedTrack] = field(default_factory=dict)
    end: int | None = None
    epochs: list[int] = field(default_factory=list)

    def apply(self, request: StreamAudioRequest) -> None:
        """Take the next message; refuses what does not follow on."""
        assert request.sequence == self.next_sequence, (request.sequence, self.next_sequence)
        assert self.end is None, "a message after the end"
        self.next_sequence += 1
        match request.WhichOneof("message"):
            case "track":
                start = request.track
                assert start.track not in self.tracks
                self.tracks[start.track] = RecordedTrack(
                    start.participant_id, start.display_name, start.start_sample, start.language
                )
            case "audio":
                audio = request.audio
                track = self.tracks[audio.track]
                assert audio.start_sample == track.position, "a hole in the samples"
                assert 0 < len(audio.pcm) <= 32 * 1024
                kind = AudioKind.Name(audio.kind).removeprefix("AUDIO_KIND_").lower()
                track.spans.append((audio.start_sample, audio.start_sample + len(audio.pcm) // 2, kind))
                track.pcm += audio.pcm
            case "gap":
                gap = request.gap
                track = self.tracks[gap.track]
                assert gap.start_sample == track.position, "a hole in the samples"
                assert gap.end_sample > gap.start_sample
                reason = GapReason.Name(gap.reason).removeprefix("GAP_REASON_").lower()
                track.spans.append((gap.start_sample, gap.end_sample, f"gap:{reason}"))
                track.pcm += bytes(2 * (gap.end_sample - gap.start_sample))
            case "track_end":
                track = self.tracks[request.track_end.track]
                assert request.track_end.end_sample == track.position
                track.end = track.position
            case "end":
                self.end = request.end.end_sample


class Ingest(AudioServiceServicer):
    """What is on disk, and the present server's manners."""

    def __init__(self, *, window: int = 256) -> None:
        self.sessions: dict[str, RecordedSession] = {}
        self.window = window
        self.acknowledging = True
        """Whether received messages reach the disk."""
        self.refusal: grpc.StatusCode | AppError | None = None
        self._draining = asyncio.Event()

    @property
    def session(self) -> RecordedSession:
        """The only session."""
        (session,) = self.sessions.values()
        return session

    def drain(self) -> None:
        """Ask every client to come back."""
        self._draining.set()
        self._draining = asyncio.Event()

    async def PutChunk(self, request: Any, context: Any) -> Any:
        """Take no chunks."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "streams only")

    async def StreamAudio(self, request_iterator: Any, context: Any) -> AsyncIterator[StreamAudioResponse]:
        """Take one connection of a session."""
        draining = self._draining
        first = await anext(aiter(request_iterator))
        assert first.WhichOneof("message") == "open"
        if isinstance(self.refusal, AppError):
            await abort(context, self.refusal)
        elif self.refusal is not None:
            await context.abort(self.refusal, "not this meeting")
        opening = first.open
        metadata = dict(context.invocation_metadata())
        session = self.sessions.setdefault(
            opening.session_id,
            RecordedSession(opening.meeting_id, metadata.get("x-tenant-id"), opening.start_time_ms),
        )
        assert opening.epoch > max(session.epochs, default=0)
        session.epochs.append(opening.epoch)
        yield StreamAudioResponse(opened=SessionOpened(next_sequence=session.next_sequence, window=self.window))

        received: list[StreamAudioRequest] = []

        async def receive() -> None:
            async for request in request_iterator:
                received.append(request)

        receiving = asyncio.create_task(receive())
        try:
            while not receiving.done() or received:
                await asyncio.sleep(_COMMIT_SECONDS)
                if draining.is_set():
                    yield StreamAudioResponse(drain=AudioDrain(reason="test"))
                    return
                if session.epochs[-1] != opening.epoch:
                    return
                if self.acknowledging and received:
                    for request in received:
                        session.apply(request)
                    received.clear()
                    yield StreamAudioResponse(durable=AudioDurable(sequence=session.next_sequence - 1))
        finally:
            receiving.cancel()


@asynccontextmanager
async def serving_ingest(ingest: Ingest, *, port: int = 0) -> AsyncIterator[int]:
    """Serve on 127.0.0.1 for the block, which then ends as a kill does; yields the port."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_AudioServiceServicer_to_server(ingest, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(None)
