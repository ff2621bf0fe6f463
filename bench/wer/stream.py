"""The live way: both tracks to one room over gRPC at the same time, interims and all, as fast as it takes them."""

import asyncio
from pathlib import Path
from typing import Any

import grpc

from agent.stt.v1 import stt_service_pb2 as pb
from agent.stt.v1.stt_service_pb2_grpc import SpeechServiceStub
from bench.stt.process import KEY, running_room
from bench.wer.call import Call, Side
from kit.rpc.calls import held
from kit.rpc.client import open_channel
from services.stt.audio import samples_of

_PIECE_SAMPLES = samples_of(0.1)
_START_SECONDS = 60.0


def transcribe(call: Call, log: Path) -> dict[str, str]:
    """Return the text of each side."""
    with running_room(log) as room:
        return asyncio.run(_transcribe(call, room.address))


async def _transcribe(call: Call, address: str) -> dict[str, str]:
    async with open_channel(address, api_key=KEY) as channel:
        stub = SpeechServiceStub(channel)
        await stub.GetStats(pb.GetStatsRequest(), wait_for_ready=True, timeout=_START_SECONDS)
        texts = await asyncio.gather(*(_side(stub, call.language, side) for side in call.sides))
    return {side.name: text for side, text in zip(call.sides, texts, strict=True)}


async def _side(stub: Any, language: str, side: Side) -> str:
    finals: list[str] = []

    async def read(stream: Any) -> None:
        finished = False
        while (message := await stream.read()) is not grpc.aio.EOF:
            finished = message.HasField("finished")
            if message.HasField("final"):
                finals.append(message.final.text)
        assert finished

    with held(stub.StreamingRecognize()) as stream:
        await stream.write(pb.StreamingRecognizeRequest(open=pb.RecognizeOpen(language=language, interim=True)))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read(stream), name="bench.wer.read")
            for start in range(0, len(side.pcm), _PIECE_SAMPLES):
                piece = side.pcm[start : start + _PIECE_SAMPLES].astype("<i2").tobytes()
                audio = pb.SpeechAudio(start_sample=start, pcm=piece)
                await stream.write(pb.StreamingRecognizeRequest(audio=audio))
            await stream.write(pb.StreamingRecognizeRequest(end=pb.SpeechEnd()))
    return " ".join(finals)
