"""The room as a process: what a call takes of its memory and of its processor, through gRPC, minute after minute."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import grpc
import numpy as np

from agent.stt.v1 import stt_service_pb2 as pb
from agent.stt.v1.stt_service_pb2_grpc import SpeechServiceStub
from bench.stt.calls import Call
from bench.stt.process import KEY, RoomProcess, running_room
from kit.rpc.calls import held
from kit.rpc.client import open_channel
from services.stt.audio import SAMPLE_RATE_HERTZ, samples_of

_PIECE_SAMPLES = samples_of(0.1)
_SETTLE_SECONDS = 3.0
_SAMPLE_SECONDS = 1.0
_WAIT_SECONDS = 60.0


class Speaker:
    """One call: speaks its track again and again until told to stop."""

    def __init__(self, stub: Any, call: Call) -> None:
        self._stub = stub
        self._call = call
        self.finals = 0

    async def run(self, started: float, over: asyncio.Event) -> None:
        """Speak at the pace of the clock; ends the stream and waits for its last final."""
        with held(self._stub.StreamingRecognize()) as stream:
            opening = pb.RecognizeOpen(language=self._call.language, interim=True)
            await stream.write(pb.StreamingRecognizeRequest(open=opening))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(stream), name="bench.stt.read")
                position = 0
                while not over.is_set():
                    wait = started + position / SAMPLE_RATE_HERTZ - perf_counter()
                    await asyncio.sleep(max(0.0, wait))
                    audio = pb.SpeechAudio(start_sample=position, pcm=self._piece(position))
                    await stream.write(pb.StreamingRecognizeRequest(audio=audio))
                    position += _PIECE_SAMPLES
                await stream.write(pb.StreamingRecognizeRequest(end=pb.SpeechEnd()))

    def _piece(self, position: int) -> bytes:
        indices = np.arange(position, position + _PIECE_SAMPLES)
        return self._call.pcm.take(indices, mode="wrap").astype("<i2").tobytes()

    async def _read(self, stream: Any) -> None:
        while (message := await stream.read()) is not grpc.aio.EOF:
            self.finals += message.HasField("final")


async def hold(server: RoomProcess, calls: Sequence[Call], minutes: float) -> dict[str, float]:
    """Hold the calls for some minutes; returns memory and processor time per call, and the memory's slope."""
    seconds = minutes * 60
    async with open_channel(server.address, api_key=KEY) as channel:
        stub = SpeechServiceStub(channel)
        async with asyncio.timeout(_WAIT_SECONDS):
            await stub.GetStats(pb.GetStatsRequest(), wait_for_ready=True)
        await _warm(stub, calls)
        await asyncio.sleep(_SETTLE_SECONDS)
        empty = server.memory_bytes
        over = asyncio.Event()
        speakers = [Speaker(stub, call) for call in calls]
        async with asyncio.TaskGroup() as tasks:
            started = perf_counter()
            for number, speaker in enumerate(speakers):
                tasks.create_task(speaker.run(started + number * 0.1 / len(calls), over), name="bench.stt.speaker")
            samples: list[tuple[float, int]] = []
            spent = server.cpu_seconds
            while (now := perf_counter() - started) < seconds:
                samples.append((now, server.memory_bytes))
                await asyncio.sleep(_SAMPLE_SECONDS)
            spent = server.cpu_seconds - spent
            stats = await stub.GetStats(pb.GetStatsRequest())
            over.set()
    kept = samples[len(samples) // 3 :]
    moments, sizes = np.array([each[0] for each in kept]), np.array([each[1] for each in kept])
    slope_bytes_per_second = float(np.polyfit(moments, sizes, 1)[0])
    return {
        "calls": float(len(calls)),
        "minutes": minutes,
        "empty_mb": empty / 1e6,
        "per_call_mb": (float(sizes.mean()) - empty) / len(calls) / 1e6,
        "slope_kb_per_call_and_minute": slope_bytes_per_second * 60 / len(calls) / 1e3,
        "slope_share_per_minute": slope_bytes_per_second * 60 / float(sizes.mean()),
        "calls_per_core": len(calls) / (spent / seconds),
        "predicted_load": stats.predicted_load,
        "streams_that_fit": float(stats.streams_that_fit),
        "finals": float(sum(speaker.finals for speaker in speakers)),
    }


async def _warm(stub: Any, calls: Sequence[Call]) -> None:
    """Let the process do once all that it will do, so that what it loads for good is not taken for a call's."""
    over = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for call in calls[:4]:
            tasks.create_task(Speaker(stub, call).run(perf_counter(), over), name="bench.stt.warm")
        await asyncio.sleep(2 * _SETTLE_SECONDS)
        over.set()


def measure(calls: Sequence[Call], minutes: float, log: Path) -> dict[str, float]:
    """Start a room and hold the calls in it."""
    with running_room(log) as room:
        return asyncio.run(hold(room, calls, minutes))
