"""ListEngines, GetStats and what the operator sees, on a real server."""

import asyncio

import grpc
import pytest

from agent.ops.v1 import ops_service_pb2 as ops
from agent.stt.v1 import stt_service_pb2 as pb
from kit.rpc.status import error_of
from services.stt.audio import samples_of
from tests.data.speech.sentences import sentences, track
from tests.integration.stt.running import open_track, recognise, running_stt


async def test_the_engine_in_use_stands_first_with_its_warning() -> None:
    async with running_stt() as stt:
        engines = (await stt.stub.ListEngines(pb.ListEnginesRequest())).engines
    assert (engines[0].name, engines[0].model, engines[0].active) == ("demo", "tiny-whisper", True)
    assert list(engines[0].languages) == ["en", "ru"]
    assert engines[0].word_times
    assert "invents text for human speech" in engines[0].note
    assert {"faster_whisper", "mock"} <= {engine.name for engine in engines[1:]}
    assert not any(engine.active for engine in engines[1:])


async def test_statistics_count_sound_and_finals() -> None:
    pcm = track(sentences("en")[:2])
    async with running_stt() as stt:
        await recognise(stt, pcm, language="en")
        async with open_track(stt, language="en"):
            stats = await stt.stub.GetStats(pb.GetStatsRequest())
    assert stats.streams == 1
    assert stats.finals == 2
    assert stats.audio_seconds == len(pcm) / 16_000
    assert 0.0 < stats.load <= 1.0
    assert stats.queued == 0
    assert (stats.workers, stats.batch) == (2, 1)
    assert 0.0 < stats.predicted_load < 0.85
    assert stats.streams_that_fit > 1
    assert stats.real_time_factor > 0.0
    assert stats.interim_stretch >= 1.0
    assert (stats.finals_queued, stats.final_age_ms, stats.interim_age_ms) == (0, 0, 0)


async def test_interims_that_were_sent_and_given_up_are_counted() -> None:
    async with running_stt(threads=1) as stt, open_track(stt, language="en", interim=True) as stream:
        await stream.say(sentences("en")[1].pcm[: samples_of(1.5)])
        await stream.until(lambda message: message.HasField("interim"))
        await stream.end()
        stats = await stt.stub.GetStats(pb.GetStatsRequest())
    assert stats.interims >= 1
    assert stats.interims_dropped >= 0


async def test_streams_that_the_workers_could_not_carry_are_refused_and_told_to_come_back() -> None:
    async with running_stt(provider="mock", threads=1, mock_seconds_per_decode=1.0) as stt:
        fitting = (await stt.stub.GetStats(pb.GetStatsRequest())).streams_that_fit
        assert fitting == 2
        async with open_track(stt, interim=True) as one, open_track(stt, interim=True) as other:
            call = stt.stub.StreamingRecognize()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            problem = error_of(caught.value)
            assert (problem.code, problem.reason) == (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "ERROR_REASON_RECOGNIZER_BUSY",
            )
            assert problem.retry_after_seconds == 5.0
            assert (await stt.stub.GetStats(pb.GetStatsRequest())).predicted_load > 0.5
            readiness = await stt.ops.GetReadiness(ops.GetReadinessRequest())
            [capacity] = [check for check in readiness.checks if check.name == "capacity"]
            assert not capacity.ok
            assert "about 2 people" in capacity.message
            await one.end()
            await other.end()


async def test_a_busy_room_warns_its_clients_and_slows_them_down() -> None:
    settings = {"provider": "mock", "threads": 1, "mock_seconds_per_decode": 1.0, "heartbeat_seconds": 0.1}
    spoken = track(sentences("en"), pause_seconds=0.7)
    async with running_stt(**settings) as stt, open_track(stt, interim=True) as stream:

        async def say() -> None:
            while True:
                await stream.say(spoken)

        saying = asyncio.create_task(say(), name="test.say")
        try:
            await stream.until(lambda message: message.HasField("status") and bool(message.status.warning))
            assert stream.received[-1].status.warning in ("interims stretched", "text comes late")
            # As much sound as is waiting for its text is all that the room takes; the rest stays with the client.
            await asyncio.sleep(0.5)
            taken = (await stt.stub.GetStats(pb.GetStatsRequest())).audio_seconds
            assert taken < 120.0
            assert not saying.done()
        finally:
            saying.cancel()
