"""The client of live audio: so many streams at the pace of speech, over a WebSocket or over gRPC."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from time import perf_counter
from typing import Protocol

import grpc
import orjson
from websockets.asyncio.client import ClientConnection, connect

from agent.ingest.v1 import audio_service_pb2 as audio
from agent.ingest.v1.audio_service_pb2_grpc import AudioServiceStub
from bench.durable.servers import KEY
from bench.gateway.requests import Answers
from bench.gateway.room import MEETING_ID
from gateway.live.frame import encode_frame

FRAME_SECONDS = 0.1
SAMPLES = 1_600
_PCM = b"\1\0" * SAMPLES
_OPEN_SECONDS = 60.0


class Stream(Protocol):
    """One session, open, with its one track."""

    async def send(self, sequence: int, start_sample: int) -> None:
        """Send a frame of 100 ms."""

    async def durable(self) -> int:
        """Return how far the next answer acknowledges; 0 when none will come."""


Opening = Callable[[int], AbstractAsyncContextManager[Stream]]
"""Opens the session of this number."""


class _Socket:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, sequence: int, start_sample: int) -> None:
        await self._socket.send(encode_frame(sequence, 1, start_sample, _PCM))

    async def durable(self) -> int:
        message = orjson.loads(await self._socket.recv())
        return int(message.get("sequence", 0))


def over_socket(address: str) -> Opening:
    """Open sessions on /v1/ws of a server."""

    @asynccontextmanager
    async def opening(number: int) -> AsyncIterator[Stream]:
        headers = {"x-api-key": KEY}
        async with connect(f"ws://{address}/v1/ws", additional_headers=headers, compression=None) as socket:
            session = {"type": "open", "meeting_id": MEETING_ID, "session_id": f"bench-{number}", "epoch": 1}
            await socket.send(orjson.dumps(session).decode())
            await socket.recv()
            track = {"type": "track", "sequence": 1, "track": 1, "participant_id": "speaker"}
            await socket.send(orjson.dumps(track).decode())
            yield _Socket(socket)

    return opening


class _Call:
    def __init__(self, call: "grpc.aio.StreamStreamCall[audio.StreamAudioRequest, audio.StreamAudioResponse]") -> None:
        self._call = call

    async def send(self, sequence: int, start_sample: int) -> None:
        frame = audio.AudioFrame(track=1, start_sample=start_sample, pcm=_PCM)
        await self._call.write(audio.StreamAudioRequest(sequence=sequence, audio=frame))

    async def durable(self) -> int:
        response = await self._call.read()
        return response.durable.sequence if isinstance(response, audio.StreamAudioResponse) else 0


def over_call(channel: grpc.aio.Channel) -> Opening:
    """Open sessions on a room."""

    @asynccontextmanager
    async def opening(number: int) -> AsyncIterator[Stream]:
        call = AudioServiceStub(channel).StreamAudio(metadata=(("x-api-key", KEY),))
        try:
            session = audio.SessionOpen(meeting_id=MEETING_ID, session_id=f"bench-{number}", epoch=1)
            await call.write(audio.StreamAudioRequest(open=session))
            await call.read()
            track = audio.TrackStart(track=1, participant_id="speaker")
            await call.write(audio.StreamAudioRequest(sequence=1, track=track))
            yield _Call(call)
        finally:
            call.cancel()

    return opening


async def speak(
    opening: Opening, count: int, warm: float, seconds: float, cpu_seconds: Callable[[], float]
) -> tuple[Answers, float]:
    """Hold so many streams.

    Args:
        opening: opens one.
        count: streams at once.
        warm: seconds before what counts.
        seconds: what counts.
        cpu_seconds: gives the server's processor time so far.

    Returns:
        Times to the acknowledgements with the server's processor time, and the share of frames that were sent late.
    """
    answers = Answers()
    opened = asyncio.Barrier(count + 1)
    late = sent = 0

    async def hold(number: int) -> None:
        nonlocal late, sent
        async with opening(number) as stream:
            async with asyncio.timeout(_OPEN_SECONDS):
                await opened.wait()
            begun, sent_at = perf_counter() + FRAME_SECONDS * number / count, dict[int, float]()
            hearing = asyncio.create_task(_hear(stream, sent_at, begun + warm, answers), name="bench.hear")
            try:
                for frame in range(round((warm + seconds) / FRAME_SECONDS)):
                    due = begun + frame * FRAME_SECONDS
                    await asyncio.sleep(max(0.0, due - perf_counter()))
                    late += perf_counter() - due > FRAME_SECONDS
                    sent += 1
                    sent_at[frame + 2] = perf_counter()
                    await stream.send(frame + 2, frame * SAMPLES)
            finally:
                hearing.cancel()
                with suppress(asyncio.CancelledError):
                    await hearing

    async with asyncio.TaskGroup() as tasks:
        for number in range(count):  # speakers do not speak in step
            tasks.create_task(hold(number), name=f"bench.stream.{number}")
        async with asyncio.timeout(_OPEN_SECONDS):
            await opened.wait()
        await asyncio.sleep(warm)
        began, used = perf_counter(), cpu_seconds()
        await asyncio.sleep(seconds)
        answers.cpu, answers.wall = cpu_seconds() - used, perf_counter() - began
    return answers, late / max(1, sent)


async def _hear(stream: Stream, sent_at: dict[int, float], counted_from: float, answers: Answers) -> None:
    """Note when each frame is acknowledged that asks for it by its number: those between wait for nothing."""
    while True:
        number, now = await stream.durable(), perf_counter()
        if not number:
            return
        if (moment := sent_at.pop(number, 0.0)) >= counted_from:
            answers.seconds.append(now - moment)
