"""The room with a transcription service, on a real server: fallback, breakers, costs, and a room without speech."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from agent.ops.v1 import ops_service_pb2 as ops
from agent.stt.v1 import stt_service_pb2 as pb
from kit.rpc.calls import held
from kit.rpc.status import error_of
from services.stt.audio import samples_of
from tests.data.speech.sentences import sentences, silence, track
from tests.fakes.transcription_service import KEY, Reply, TranscriptionService, running_service, words_reply
from tests.integration.stt.running import SECONDS, RunningStt, open_track, recognise, running_stt

_SILENT = Reply(body={"text": ""})


@contextmanager
def _service(monkeypatch: pytest.MonkeyPatch, *script: Reply) -> Iterator[TranscriptionService]:
    with running_service(*script) as service:
        monkeypatch.setenv("OPENAI_BASE_URL", service.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("WHISPER_RATE_PER_MIN_USD", "0.6")
        yield service


async def _snapshot(stt: RunningStt) -> ops.WatchResponse:
    with held(stt.ops.Watch(ops.WatchRequest())) as call:
        async with asyncio.timeout(SECONDS):
            snapshot = await call.read()
    assert isinstance(snapshot, ops.WatchResponse)
    return snapshot


async def _refusal(call: Any) -> tuple[Any, str, str]:
    """How a call is refused before it has sent anything."""
    with held(call), pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(call.read(), SECONDS)
    problem = error_of(caught.value)
    return problem.code, problem.reason, problem.message


async def test_finals_of_a_service_carry_what_they_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    pcm = track(sentences("en")[:2])
    with _service(monkeypatch, _SILENT, words_reply("One."), words_reply("Two.")):
        async with running_stt(provider="openai_http") as stt:
            async with open_track(stt, language="en", tenant_id="acme", interim=True) as stream:
                await stream.say(pcm)
                finals = await stream.end()
            stats = await stt.stub.GetStats(pb.GetStatsRequest())
            engines = await stt.stub.ListEngines(pb.ListEnginesRequest())
    assert [(final.text, final.engine, final.model) for final in finals] == [
        ("One.", "openai_http", "whisper-1"),
        ("Two.", "openai_http", "whisper-1"),
    ]
    assert "interim" not in stream.kinds, "they would be billed again and again"
    [cost] = stats.costs
    assert (cost.engine, cost.tenant_id) == ("openai_http", "acme")
    assert cost.cost_usd == pytest.approx(cost.audio_seconds / 60 * 0.6)
    assert sum(final.cost_usd for final in finals) == pytest.approx(stats.cost_usd)
    assert (engines.engines[0].name, engines.engines[0].cost_per_minute_usd) == ("openai_http", 0.6)


async def test_speech_without_text_is_paid_for_in_the_next_final_or_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    pcm = track(sentences("en"))
    with _service(monkeypatch, _SILENT, _SILENT, words_reply("Two."), _SILENT):
        async with running_stt(provider="openai_http") as stt, open_track(stt, language="en") as stream:
            await stream.say(pcm)
            [final] = await stream.end()
            stats = await stt.stub.GetStats(pb.GetStatsRequest())
    finished = stream.received[-1].finished
    assert final.cost_usd > finished.cost_usd > 0
    assert final.cost_usd + finished.cost_usd == pytest.approx(stats.cost_usd)


async def test_interims_of_a_service_are_paid_for_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with _service(monkeypatch, words_reply("One two three.")):
        async with (
            running_stt(provider="openai_http", openai_interims=True) as stt,
            open_track(stt, language="en", interim=True) as stream,
        ):
            pcm = track(sentences("en")[:1])
            # While the speaker is at it: nobody is sent the beginning of an utterance that is over.
            await stream.say(pcm[: samples_of(2.2)])
            await stream.until(lambda message: message.HasField("interim"))
            await stream.say(pcm[samples_of(2.2) :])
            [final] = await stream.end()
    assert final.cost_usd > (final.end_sample - final.start_sample) / 16_000 / 60 * 0.6 * 1.2


async def test_what_the_service_fails_the_next_engine_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pocketsphinx")
    with _service(monkeypatch, _SILENT, words_reply("One."), Reply(503, b"")):
        settings = {"openai_attempts": 1, "breaker_failures": 1, "threads": 1}
        async with running_stt(provider="openai_http,pocketsphinx", **settings) as stt:
            finals = await recognise(stt, track(sentences("en")), language="en")
            snapshot = await _snapshot(stt)
            engines = (await stt.stub.ListEngines(pb.ListEnginesRequest())).engines
    assert [(final.engine, final.model) for final in finals] == [
        ("openai_http", "whisper-1"),
        ("pocketsphinx", "en-us"),
        ("pocketsphinx", "en-us"),
    ]
    assert all(final.text for final in finals)
    breakers = {breaker.name: (breaker.state, breaker.failures) for breaker in snapshot.breakers}
    assert breakers == {"stt.openai_http": ("open", 1), "stt.pocketsphinx": ("closed", 0)}
    assert snapshot.room.detail.startswith("openai_http whisper-1, then pocketsphinx en-us; load ")
    assert [(engine.name, engine.active) for engine in engines[:3]] == [
        ("openai_http", True),
        ("pocketsphinx", True),
        ("faster_whisper", False),
    ]


async def test_a_service_that_is_away_fails_the_stream_so_that_it_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    spoken = track(sentences("en")[:1])
    with _service(monkeypatch, _SILENT, Reply(429, b"", {"Retry-After": "77"}), words_reply("One.")):
        async with running_stt(provider="openai_http") as stt:
            async with open_track(stt, language="en") as stream:
                await stream.say(spoken)
                await stream.send(end=pb.SpeechEnd())
                problem = error_of(await stream.failure())
            assert (problem.code, problem.reason) == (grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_ENGINE_UNAVAILABLE")
            assert problem.retry_after_seconds == pytest.approx(77, abs=2)
            assert "final" not in stream.kinds


async def test_without_its_key_the_room_starts_and_says_why_it_recognises_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with running_stt(provider="openai_http") as stt:
        live = await _refusal(stt.stub.StreamingRecognize())
        file = await _refusal(stt.stub.Recognize())
        listed = await stt.stub.ListEngines(pb.ListEnginesRequest())
        snapshot = await _snapshot(stt)
    sentence = "STT_PROVIDER=openai_http: OPENAI_API_KEY is empty: set it, or choose another STT_PROVIDER"
    assert live == file == (grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_ENGINE_UNAVAILABLE", sentence)
    assert listed.off_reason == sentence
    assert not any(engine.active for engine in listed.engines)
    assert snapshot.room.detail == "off"
    assert snapshot.room.state == "serving"


async def test_recordings_can_be_switched_off_and_live_calls_go_on() -> None:
    async with running_stt(max_file_minutes=0) as stt:
        file = await _refusal(stt.stub.Recognize())
        listed = await stt.stub.ListEngines(pb.ListEnginesRequest())
        finals = await recognise(stt, track(sentences("en")[:1]), language="en")
    assert file[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_ENGINE_UNAVAILABLE")
    assert "STT_MAX_FILE_MINUTES=0" in file[2]
    assert listed.max_file_minutes == 0
    assert len(finals) == 1


async def test_a_recording_that_is_too_long_is_refused() -> None:
    half = silence(30.0).astype("<i2").tobytes()

    async def heard(call: Any) -> int:
        """Read to the end; returns the last decided sample."""
        decided = 0
        async with asyncio.timeout(SECONDS):
            while (message := await call.read()) is not grpc.aio.EOF:
                decided = message.finished.decided_sample or decided
        return decided

    async with running_stt(max_file_minutes=1) as stt:
        for more, refused in ((b"", False), (bytes(2), True)):
            with held(stt.stub.Recognize()) as call:
                await call.write(pb.RecognizeRequest(open=pb.RecordingOpen(language="en")))
                for pcm in (half, half, more):
                    await call.write(pb.RecognizeRequest(pcm=pcm))
                if refused:
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await heard(call)
                    assert error_of(caught.value).reason == "ERROR_REASON_TOO_LARGE"
                else:
                    await call.write(pb.RecognizeRequest(end=pb.SpeechEnd()))
                    assert await heard(call) == 60 * 16_000
