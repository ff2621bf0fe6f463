"""StreamingRecognize on a real server, with our own model: what is said comes out, in order, whatever happens."""

import asyncio

import grpc
import numpy as np
import pytest
from ctranslate2 import get_cuda_device_count
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.stt.v1 import stt_service_pb2 as pb
from kit.rpc.status import error_of
from services.stt.audio import samples_of
from tests.data.speech.sentences import noise, sentences, silence, track
from tests.integration.stt.running import RunningStt, open_track, recognise, running_stt

Outline = list[tuple[int, int, int, str]]


def _outline(finals: list[pb.Final]) -> Outline:
    return [(final.start_sample, final.end_sample, final.decided_sample, final.text) for final in finals]


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_sentences_come_out_exactly(language: str) -> None:
    spoken = sentences(language)
    async with running_stt() as stt:
        finals = await recognise(stt, track(spoken), language=language)
    assert [final.text for final in finals] == [sentence.text for sentence in spoken]
    assert {(final.engine, final.model, final.language) for final in finals} == {("demo", "tiny-whisper", language)}
    assert all(0.5 < final.confidence <= 1.0 for final in finals)


@pytest.mark.skipif(not get_cuda_device_count(), reason="there is no CUDA device on this machine")
async def test_sentences_come_out_exactly_on_a_gpu() -> None:
    async with running_stt(device="cuda") as stt, asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(recognise(stt, track([sentence]), language=sentence.language, interim=True))
            for sentence in sentences()
        ]
        heard = [await task for task in running]
    assert [[final.text for final in finals] for finals in heard] == [[sentence.text] for sentence in sentences()]


async def test_words_lie_on_the_meetings_timeline() -> None:
    meeting_start = samples_of(3_600.0)
    async with running_stt() as stt:
        [final] = await recognise(stt, track(sentences("en")[1:2]), language="en", start_sample=meeting_start)
    assert " ".join(word.text for word in final.words) == final.text
    assert final.start_sample > meeting_start
    assert all(3_600_000 < word.start_ms <= word.end_ms for word in final.words)
    assert final.words[-1].end_ms * 16 <= final.decided_sample


async def test_languages_are_detected_and_the_first_sure_one_is_kept() -> None:
    english, russian = sentences("en"), sentences("ru")
    async with running_stt() as stt:
        assert [final.language for final in await recognise(stt, track(russian[:1]))] == ["ru"]
        mixed = await recognise(stt, track([*english[:2], *russian[:1]]))
    # What is said in another language afterwards is read in the first one, or left out.
    assert {final.language for final in mixed} == {final.pinned_language for final in mixed} == {"en"}
    assert [final.text for final in mixed[:2]] == [sentence.text for sentence in english[:2]]


async def test_two_tracks_of_a_call_may_speak_different_languages() -> None:
    async with running_stt() as stt, asyncio.TaskGroup() as tasks:
        tracks = {
            language: tasks.create_task(recognise(stt, track(sentences(language)), interim=True))
            for language in ("en", "ru")
        }
        heard = {language: await finals for language, finals in tracks.items()}
    for language, finals in heard.items():
        assert [final.text for final in finals] == [sentence.text for sentence in sentences(language)]
        assert [final.pinned_language for final in finals] == 3 * [language]


async def test_hot_words_change_no_sentence_that_is_heard_well() -> None:
    spoken = sentences("en")[1:]
    async with running_stt() as stt:
        finals = await recognise(stt, track(spoken), language="en", hot_words=["kafka", "redis"])
    assert [final.text for final in finals] == [sentence.text for sentence in spoken]


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_words_are_timed_within_a_fifth_of_a_second(language: str) -> None:
    pause_seconds = 0.9
    async with running_stt() as stt:
        finals = await recognise(stt, track(sentences(language), pause_seconds=pause_seconds), language=language)
    began = pause_seconds
    for final, sentence in zip(finals, sentences(language), strict=True):
        for heard, said in zip(final.words, sentence.words, strict=True):
            assert heard.text.strip(",.?") == said.text
            assert heard.start_ms / 1_000 == pytest.approx(began + said.start_seconds, abs=0.2)
            assert heard.end_ms / 1_000 == pytest.approx(began + said.end_seconds, abs=0.2)
        began += len(sentence.pcm) / 16_000 + pause_seconds


async def test_messages_come_in_the_order_of_the_contract() -> None:
    async with running_stt() as stt, open_track(stt, language="en") as stream:
        await stream.say(track(sentences("en")[:1]))
        await stream.end()
        kinds = [kind for kind in stream.kinds if kind != "status"]
    assert kinds == ["opened", "speech_started", "speech_ended", "final", "cursor", "finished"]
    final, cursor, finished = (
        next(getattr(message, kind) for message in stream.received if message.HasField(kind))
        for kind in ("final", "cursor", "finished")
    )
    assert final.decided_sample < cursor.decided_sample == finished.decided_sample == stream.position
    assert finished.finals == 1


async def test_interims_grow_towards_the_final() -> None:
    spoken = sentences("en")[1]
    async with running_stt(threads=1) as stt, open_track(stt, language="en", interim=True) as stream:
        await stream.say(np.concatenate([silence(1.0), spoken.pcm[: samples_of(1.5)]]))
        first = await stream.until(lambda message: message.HasField("interim"))
        await stream.say(spoken.pcm[samples_of(1.5) :])
        await stream.say(silence(1.0))
        [final] = await stream.end()
        interims = [message.interim for message in stream.received if message.HasField("interim")]
    assert spoken.text.startswith(f"{first.interim.stable_text} {first.interim.unstable_text}".split()[0])
    assert {interim.start_sample for interim in interims} == {final.start_sample}
    assert all(final.text.startswith(interim.stable_text) for interim in interims)
    assert stream.kinds.index("speech_ended") > max(i for i, kind in enumerate(stream.kinds) if kind == "interim")


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cuts=st.lists(st.lists(st.integers(160, 16_000), min_size=1, max_size=6), min_size=3, max_size=3))
def test_pieces_of_any_size_give_the_same_finals(cuts: list[list[int]]) -> None:
    pcm = track(sentences("en"), pause_seconds=0.7)

    async def outlines() -> list[Outline]:
        async with running_stt() as stt:
            return [_outline(await recognise(stt, pcm, sizes=sizes, language="en")) for sizes in [[1_600], *cuts]]

    with asyncio.Runner() as runner:
        first, *others = runner.run(outlines())
    assert [text for *_, text in first] == [sentence.text for sentence in sentences("en")]
    assert all(other == first for other in others)


async def test_a_replay_from_any_decided_sample_gives_the_same_finals() -> None:
    pcm = np.concatenate([track(sentences("ru"), pause_seconds=0.8), silence(2.0), track(sentences("ru")[:1])])
    async with running_stt(settle_silence_seconds=1.5) as stt:
        async with open_track(stt, language="ru") as stream:
            await stream.say(pcm)
            whole = await stream.end()
            decided = [message.cursor.decided_sample for message in stream.received if message.HasField("cursor")]
        for sample in [final.decided_sample for final in whole] + decided:
            replayed = await recognise(stt, pcm[sample:], sizes=[16_000], language="ru", start_sample=sample)
            assert _outline(replayed) == [one for one in _outline(whole) if one[0] >= sample]


async def test_silence_sent_as_a_span_is_the_same_as_zeros() -> None:
    first, second = (sentence.pcm for sentence in sentences("en")[:2])
    pause = silence(7.3)
    async with running_stt() as stt:
        zeros = await recognise(stt, np.concatenate([first, pause, second]), language="en")
        async with open_track(stt, language="en") as stream:
            await stream.say(first)
            await stream.keep_silent(len(pause))
            await stream.say(second)
            spans = await stream.end()
    assert _outline(spans) == _outline(zeros)
    assert len(spans) == 2


async def test_silence_and_noise_are_decided_without_a_final() -> None:
    async with running_stt() as stt, open_track(stt, language="en") as stream:
        await stream.keep_silent(samples_of(6.0))
        await stream.until(lambda message: message.HasField("cursor") and message.cursor.decided_sample > 0)
        await stream.say(noise(6.0, amplitude=2_000.0))
        assert await stream.end() == []


async def test_a_flush_settles_the_open_utterance() -> None:
    spoken = sentences("en")[0].pcm
    async with running_stt() as stt, open_track(stt, language="en") as stream:
        await stream.say(np.concatenate([silence(1.0), spoken]))
        await stream.send(flush=pb.SpeechFlush())
        message = await stream.until(lambda message: message.HasField("final"))
        assert message.final.text == sentences("en")[0].text
        assert message.final.decided_sample == stream.position
        assert await stream.end() == [message.final]


@pytest.mark.parametrize(("shift", "sentence"), [(160, "are missing"), (-160, "came twice")])
async def test_audio_that_does_not_follow_on_is_refused_by_its_range(shift: int, sentence: str) -> None:
    async with running_stt() as stt, open_track(stt, language="en") as stream:
        await stream.say(silence(0.5))
        await stream.send(audio=pb.SpeechAudio(start_sample=8_000 + shift, pcm=bytes(320)))
        problem = error_of(await stream.failure())
    assert (problem.code, problem.reason) == (grpc.StatusCode.OUT_OF_RANGE, "ERROR_REASON_SAMPLE_GAP")
    assert problem.metadata == {"expected": "8000", "got": str(8_000 + shift)}
    assert sentence in problem.message


async def test_a_stream_that_closes_without_end_finishes_nothing() -> None:
    async with running_stt() as stt, open_track(stt, language="en") as stream:
        await stream.say(np.concatenate([silence(1.0), sentences("en")[0].pcm]))
        await stream.call.done_writing()
        assert error_of(await stream.failure()).code == grpc.StatusCode.CANCELLED
        assert stream.finals == []


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"audio": pb.SpeechAudio(pcm=b"odd")}, "ERROR_REASON_AUDIO_UNDECODABLE"),
        ({"audio": pb.SpeechAudio(pcm=bytes(32_770))}, "ERROR_REASON_TOO_LARGE"),
        ({"silence": pb.SpeechSilence(samples=-1)}, "ERROR_REASON_INVALID_FIELD"),
        ({"open": pb.RecognizeOpen()}, "ERROR_REASON_STREAM_PROTOCOL"),
        ({}, "ERROR_REASON_STREAM_PROTOCOL"),
    ],
    ids=["half a sample", "too large", "negative silence", "open twice", "empty"],
)
async def test_wrong_messages_are_refused(message: dict[str, object], reason: str) -> None:
    async with running_stt() as stt, open_track(stt, language="en") as stream:
        await stream.send(**message)
        assert error_of(await stream.failure()).reason == reason


async def test_the_first_message_must_be_open() -> None:
    async with running_stt() as stt:
        call = stt.stub.StreamingRecognize()
        await call.write(pb.StreamingRecognizeRequest(end=pb.SpeechEnd()))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    problem = error_of(caught.value)
    assert (problem.reason, problem.metadata) == ("ERROR_REASON_STREAM_PROTOCOL", {"expected": "open", "got": "end"})


async def test_a_language_that_the_engine_does_not_know_is_refused() -> None:
    async with running_stt() as stt:
        call = stt.stub.StreamingRecognize()
        await call.write(pb.StreamingRecognizeRequest(open=pb.RecognizeOpen(language="tlh")))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert error_of(caught.value).reason == "ERROR_REASON_LANGUAGE_UNKNOWN"


async def test_streams_beyond_the_limit_are_refused_until_one_ends() -> None:
    async with running_stt(provider="mock", max_streams=1) as stt:
        async with open_track(stt) as stream:
            call = stt.stub.StreamingRecognize()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert error_of(caught.value).reason == "ERROR_REASON_RECOGNIZER_BUSY"
            await stream.end()
        await _until_no_stream(stt)
        async with open_track(stt) as stream:
            await stream.end()


async def test_a_client_that_vanishes_leaves_nothing_behind() -> None:
    async with running_stt() as stt:
        async with open_track(stt, language="en", interim=True) as stream:
            await stream.say(track(sentences("en")))
            stream.call.cancel()
        await _until_no_stream(stt)
        assert [final.text for final in await recognise(stt, track(sentences("en")[:1]))] == [sentences("en")[0].text]


async def test_idle_streams_hear_a_heartbeat() -> None:
    async with running_stt(provider="mock", heartbeat_seconds=0.05) as stt, open_track(stt) as stream:
        await stream.say(silence(0.5))
        status = await stream.until(lambda message: message.HasField("status") and message.status.lag_ms > 0)
        assert status.status.lag_ms == 500
        await stream.end()


async def test_a_server_that_stops_says_goodbye_and_finishes_what_is_ended() -> None:
    spoken = sentences("en")[:1]
    async with running_stt() as stt, open_track(stt, language="en") as stream:
        await stream.say(track(spoken))
        stt.shutdown.requested.set()
        await stream.until(lambda message: message.HasField("drain"))
        finals = await stream.end()
    assert [final.text for final in finals] == [sentence.text for sentence in spoken]


async def test_many_tracks_at_once_are_all_heard() -> None:
    async with running_stt() as stt, asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(recognise(stt, track([sentence]), language=sentence.language, interim=True))
            for sentence in sentences()
        ]
        heard = [await task for task in running]
    assert [[final.text for final in finals] for finals in heard] == [[sentence.text] for sentence in sentences()]


async def _until_no_stream(stt: RunningStt) -> None:
    async with asyncio.timeout(5):
        while (await stt.stub.GetStats(pb.GetStatsRequest())).streams:  # noqa: ASYNC110 - the server's state
            await asyncio.sleep(0.01)
