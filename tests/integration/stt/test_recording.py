"""Recognize on a real server: a whole recording as fast as it goes, with the finals of the live stream."""

import asyncio

import grpc
import pytest

from agent.stt.v1 import stt_service_pb2 as pb
from kit.rpc.calls import held
from kit.rpc.status import error_of
from services.stt.audio import Pcm
from tests.data.speech.sentences import sentences, silence, track
from tests.integration.stt.running import SECONDS, RunningStt, recognise, running_stt

_PIECE_BYTES = 1024 * 1024


async def _recognise(stt: RunningStt, pcm: Pcm, language: str) -> list[pb.RecognizeResponse]:
    data = pcm.astype("<i2").tobytes()
    received: list[pb.RecognizeResponse] = []
    with held(stt.stub.Recognize()) as call:
        await call.write(pb.RecognizeRequest(open=pb.RecordingOpen(language=language)))
        for start in range(0, len(data), _PIECE_BYTES):
            await call.write(pb.RecognizeRequest(pcm=data[start : start + _PIECE_BYTES]))
        await call.write(pb.RecognizeRequest(end=pb.SpeechEnd()))
        async with asyncio.timeout(SECONDS):
            while (message := await call.read()) is not grpc.aio.EOF:
                received.append(message)
    return received


async def test_a_recording_gives_the_finals_of_the_live_stream() -> None:
    pcm = track([*sentences("en"), *sentences("en")])
    async with running_stt() as stt:
        received = await _recognise(stt, pcm, "en")
        live = await recognise(stt, pcm, language="en")
    finals = [message.final for message in received if message.HasField("final")]
    assert finals == live
    assert [final.text for final in finals] == 2 * [sentence.text for sentence in sentences("en")]
    assert received[-1].finished == pb.RecognizeFinished(decided_sample=len(pcm), finals=len(finals))


async def test_a_recording_longer_than_a_message_makes_progress() -> None:
    async with running_stt() as stt:
        received = await _recognise(stt, silence(60.0), "")
    assert [message.WhichOneof("message") for message in received[:-1]] == ["progress"] * (len(received) - 1)
    assert received[-1].finished.decided_sample == len(silence(60.0))


async def test_a_recording_without_end_finishes_nothing() -> None:
    async with running_stt() as stt:
        call = stt.stub.Recognize()
        await call.write(pb.RecognizeRequest(open=pb.RecordingOpen(language="en")))
        await call.done_writing()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert error_of(caught.value).code == grpc.StatusCode.CANCELLED
