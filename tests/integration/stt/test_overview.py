"""ListEngines and GetStats on a real server."""

from agent.stt.v1 import stt_service_pb2 as pb
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
