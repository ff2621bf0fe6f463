"""The client: so many streams at the pace of speech, one method for all servers; notes when each message came back."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import grpc

from agent.ingest.v1 import audio_service_pb2 as pb
from agent.ingest.v1 import meeting_service_pb2 as mpb
from agent.ingest.v1.audio_service_pb2_grpc import AudioServiceStub
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from bench.durable.echo import METHOD
from kit.ids import new_id
from kit.rpc.client import open_channel

SAMPLES_PER_SECOND = 16_000
_OPEN_SECONDS = 60.0

Open = Callable[[grpc.aio.Channel], Any]
"""Makes the call of one stream on a channel."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent."""

    streams: int
    frame_ms: int
    seconds: float

    @property
    def messages_per_second(self) -> float:
        """Messages of one stream."""
        return 1_000 / self.frame_ms

    @property
    def samples(self) -> int:
        """Samples of one message."""
        return SAMPLES_PER_SECOND * self.frame_ms // 1_000


@dataclass(slots=True)
class Heard:
    """What came back while it was measured."""

    seconds: list[float] = field(default_factory=list)
    """From before a message was written to when it was acknowledged."""
    messages: int = 0
    late: int = 0
    """Messages that were sent more than a frame behind their time: then the client is the limit."""


class Stream:
    """One session of one speaker, paced by the clock; `run` ends it by hanging up."""

    def __init__(self, call: Any, number_of: Callable[[Any], int], load: Load) -> None:
        self._call = call
        self._number_of = number_of
        self._load = load
        self._sent_at: dict[int, float] = {}
        self._sequence = 0
        self._acknowledged = 0
        self._position = 0
        self._last = asyncio.Event()
        """Set when nothing more is sent."""

    async def open(self, meeting_id: str) -> None:
        """Open the session and introduce its speaker."""
        opening = pb.SessionOpen(meeting_id=meeting_id, session_id="bench", epoch=1, start_time_ms=1_700_000_000_000)
        async with asyncio.timeout(_OPEN_SECONDS):
            await self._call.write(pb.StreamAudioRequest(open=opening))
            await self._call.read()
            await self._send(track=pb.TrackStart(track=1, participant_id="speaker", display_name="Speaker"))

    async def run(self, start: float, warm: float, heard: Heard) -> None:
        """Speak from the moment `start` on; what is sent in the first `warm` seconds is not counted."""
        reading = asyncio.create_task(self._read(start + warm, heard), name="bench.client.read")
        interval = self._load.frame_ms / 1_000
        pcm = bytes(range(256)) * (2 * self._load.samples // 256 + 1)
        pcm = pcm[: 2 * self._load.samples]
        try:
            for number in range(int((warm + self._load.seconds) / interval)):
                due = start + number * interval
                await asyncio.sleep(max(0.0, due - perf_counter()))
                if perf_counter() - due > interval:
                    heard.late += 1
                await self._send(audio=pb.AudioFrame(track=1, start_sample=self._position, pcm=pcm, kind=1))  # type: ignore[arg-type]
                self._position += self._load.samples
            async with asyncio.timeout(_OPEN_SECONDS):
                self._last.set()
                if self._acknowledged < self._sequence:
                    await reading
        finally:
            reading.cancel()
            self._call.cancel()
            with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
                await reading

    async def _send(self, **message: Any) -> None:
        self._sequence += 1
        self._sent_at[self._sequence] = perf_counter()
        await self._call.write(pb.StreamAudioRequest(sequence=self._sequence, **message))

    async def _read(self, counted_from: float, heard: Heard) -> None:
        while (response := await self._call.read()) is not grpc.aio.EOF:
            now, number = perf_counter(), self._number_of(response)
            while self._acknowledged < number:
                self._acknowledged += 1
                sent_at = self._sent_at.pop(self._acknowledged)
                if sent_at >= counted_from:
                    heard.seconds.append(now - sent_at)
                    heard.messages += 1
            if self._last.is_set() and self._acknowledged == self._sequence:
                return


def open_echo(channel: grpc.aio.Channel) -> Any:
    """Call the echo: it answers with the requests themselves."""
    make = channel.stream_stream(
        METHOD,
        request_serializer=pb.StreamAudioRequest.SerializeToString,
        response_deserializer=pb.StreamAudioRequest.FromString,
    )
    return make()


def echoed(response: Any) -> int:
    """Return how far an answer of the echo acknowledges."""
    return int(response.sequence)


def open_audio(channel: grpc.aio.Channel) -> Any:
    """Call the ingest room."""
    return AudioServiceStub(channel).StreamAudio()


def durable(response: Any) -> int:
    """Return how far an answer of the room acknowledges; other answers say nothing."""
    return int(response.durable.sequence)


async def start_meetings(address: str, key: str, count: int) -> list[str]:
    """Make meetings; waits for the room to be there."""
    async with open_channel(address, api_key=key) as channel:
        stub = MeetingServiceStub(channel)
        request = mpb.StartMeetingRequest(title="Bench")
        async with asyncio.timeout(_OPEN_SECONDS):
            first = await stub.StartMeeting(request, wait_for_ready=True)
            rest = [await stub.StartMeeting(request) for _ in range(count - 1)]
    return [str(made.meeting_id) for made in (first, *rest)]


async def speak(
    address: str, key: str, meetings: list[str], open_call: Open, number_of: Callable[[Any], int], load: Load,
    warm: float, measured: Callable[[], float],
) -> tuple[Heard, float, float]:  # fmt: skip
    """Hold one stream in each meeting.

    Args:
        address: of the server.
        key: to get in with.
        meetings: one for each stream.
        open_call: makes a stream's call.
        number_of: says how far an answer acknowledges.
        load: what is sent.
        warm: seconds before what counts.
        measured: gives the server's processor time so far, in seconds.

    Returns:
        What came back, and the server's processor time and the wall time of what counts, in seconds.
    """
    heard = Heard()
    async with open_channel(address, api_key=key) as channel:
        streams = [Stream(open_call(channel), number_of, load) for _ in meetings]
        for stream, meeting_id in zip(streams, meetings, strict=True):
            await stream.open(meeting_id)
        start = perf_counter() + 0.2
        spread = load.frame_ms / 1_000 / len(streams)
        async with asyncio.TaskGroup() as tasks:
            for number, stream in enumerate(streams):  # speakers do not speak in step
                tasks.create_task(stream.run(start + number * spread, warm, heard), name=f"bench.stream.{number}")
            await asyncio.sleep(start + warm - perf_counter())
            began, cpu = perf_counter(), measured()
            await asyncio.sleep(load.seconds)
            cpu, wall = measured() - cpu, perf_counter() - began
    return heard, cpu, wall


def meeting_names(count: int) -> list[str]:
    """Return names for meetings of a server that does not look at them."""
    return [new_id() for _ in range(count)]
