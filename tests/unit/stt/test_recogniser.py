"""The recogniser of one track: what reaches the engine, in which order, and what happens when it is slow."""

import asyncio

import numpy as np
import pytest

from services.stt.audio import Pcm, samples_of
from services.stt.endpointing import EndpointingRules
from services.stt.engines.engine import Mode
from services.stt.engines.silero import load_vad_session
from services.stt.pool import open_pool
from services.stt.recogniser import (
    Decided,
    Event,
    FinalText,
    Finished,
    InterimText,
    RecogniserOptions,
    SpeechEnded,
    open_recogniser,
)
from tests.data.speech import sounds
from tests.data.speech.sentences import sentences, silence, track
from tests.fakes.speech_engine import HeldEngine

_OPTIONS = RecogniserOptions(EndpointingRules(), language="en")
_ENOUGH = 1_000


async def _events(engine: HeldEngine, pcm: Pcm, options: RecogniserOptions = _OPTIONS) -> list[Event]:
    sink: asyncio.Queue[Event] = asyncio.Queue(_ENOUGH)
    async with open_pool(engine) as pool, open_recogniser(pool, load_vad_session(), options, sink) as recogniser:
        await recogniser.feed(pcm)
        await recogniser.end()
        events: list[Event] = []
        async with asyncio.timeout(10):
            while not events or not isinstance(events[-1], Finished):
                events.append(await sink.get())
    return events


async def test_a_sure_language_is_kept_for_the_next_utterances() -> None:
    engine = HeldEngine(language="ru", sureness=0.9)
    await _events(engine, track(sentences("ru")), RecogniserOptions(EndpointingRules()))
    assert [window.language for window in engine.asked] == [None, "ru", "ru"]


async def test_an_unsure_language_is_asked_for_again() -> None:
    engine = HeldEngine(language="ru", sureness=0.6)
    await _events(engine, track(sentences("ru")), RecogniserOptions(EndpointingRules()))
    assert [window.language for window in engine.asked] == [None, None, None]


async def test_a_language_is_not_kept_for_the_sake_of_a_short_word() -> None:
    engine = HeldEngine(language="ru", sureness=0.9)
    word = sentences("ru")[0].pcm[: samples_of(0.45)]
    pcm = np.concatenate([silence(1.0), word, track(sentences("ru")[:2])])
    await _events(engine, pcm, RecogniserOptions(EndpointingRules()))
    assert [window.language for window in engine.asked] == [None, None, "ru"]


async def test_music_has_no_interims_and_no_final() -> None:
    engine = HeldEngine()
    options = RecogniserOptions(EndpointingRules(), language="en", interim_interval_samples=samples_of(0.2))
    events = await _events(engine, sounds.at_level(sounds.melody(6.0, 0), -20), options)
    assert any(isinstance(event, SpeechEnded) for event in events), "the network took it for a voice, for a moment"
    assert not any(isinstance(event, FinalText | InterimText) for event in events)
    assert engine.asked == []


async def test_hot_words_reach_the_engine() -> None:
    engine = HeldEngine()
    options = RecogniserOptions(EndpointingRules(), language="en", hot_words=("kafka",))
    await _events(engine, track(sentences("en")[:1]), options)
    assert [window.hot_words for window in engine.asked] == [("kafka",)]


async def test_too_little_speech_is_decided_without_a_decode() -> None:
    engine = HeldEngine()
    rules = EndpointingRules(shortest_speech_samples=samples_of(5.0))
    events = await _events(engine, track(sentences("en")[:1]), RecogniserOptions(rules, language="en"))
    assert engine.asked == []
    [ended] = [event for event in events if isinstance(event, SpeechEnded)]
    assert any(isinstance(event, Decided) and event.decided_sample > ended.end_sample for event in events)
    assert isinstance(events[-1], Finished)
    assert events[-1].finals == 0


async def test_a_slow_engine_makes_the_feed_wait_and_loses_nothing() -> None:
    engine = HeldEngine(held=True)
    sink: asyncio.Queue[Event] = asyncio.Queue(_ENOUGH)
    pcm = track(3 * sentences(), pause_seconds=0.7)
    async with open_pool(engine) as pool, open_recogniser(pool, load_vad_session(), _OPTIONS, sink) as recogniser:
        feeding = asyncio.create_task(recogniser.feed(pcm))
        await asyncio.wait({feeding}, timeout=0.5)
        assert not feeding.done()
        assert recogniser.received_sample < len(pcm)
        engine.go.set()
        async with asyncio.timeout(10):
            await feeding
            await recogniser.end()
            finals = 0
            while not isinstance(event := await sink.get(), Finished):
                finals += isinstance(event, FinalText)
    assert finals == event.finals == 3 * len(sentences())


async def test_a_reader_that_sleeps_loses_interims_only() -> None:
    engine = HeldEngine()
    sink: asyncio.Queue[Event] = asyncio.Queue(1)
    options = RecogniserOptions(EndpointingRules(), language="en", interim_interval_samples=samples_of(0.2))
    async with open_pool(engine) as pool, open_recogniser(pool, load_vad_session(), options, sink) as recogniser:

        async def feed_and_end() -> None:
            await recogniser.feed(track(sentences("en")))
            await recogniser.end()

        feeding = asyncio.create_task(feed_and_end())
        await asyncio.wait({feeding}, timeout=0.5)
        events: list[Event] = []
        async with asyncio.timeout(10):
            while not events or not isinstance(events[-1], Finished):
                events.append(await sink.get())
            await feeding
    assert sum(isinstance(event, FinalText) for event in events) == len(sentences("en"))


async def test_an_interim_never_follows_the_end_of_its_utterance() -> None:
    engine = HeldEngine(workers=2)
    options = RecogniserOptions(EndpointingRules(), language="en", interim_interval_samples=samples_of(0.2))
    sink: asyncio.Queue[Event] = asyncio.Queue(_ENOUGH)
    pcm = track(sentences("en"))
    events: list[Event] = []
    async with open_pool(engine) as pool, open_recogniser(pool, load_vad_session(), options, sink) as recogniser:
        for start in range(0, len(pcm), 1_600):
            await recogniser.feed(pcm[start : start + 1_600])
            await asyncio.sleep(0.002)
        await recogniser.end()
        async with asyncio.timeout(10):
            while not events or not isinstance(events[-1], Finished):
                events.append(await sink.get())
    assert {window.mode for window in engine.asked} == set(Mode)
    for number, event in enumerate(events):
        if isinstance(event, SpeechEnded):
            later = [one for one in events[number:] if isinstance(one, InterimText)]
            assert all(one.start_sample > event.end_sample for one in later)


async def test_a_decode_that_fails_ends_the_track() -> None:
    engine = HeldEngine()
    engine.failing = True
    with pytest.raises(ExceptionGroup) as caught:
        await _events(engine, np.concatenate([track(sentences("en")[:1]), silence(1.0)]))
    assert caught.group_contains(RuntimeError, match="cannot decode this")


async def test_a_track_that_is_behind_has_several_utterances_decoded_at_a_time_and_given_in_order() -> None:
    engine = HeldEngine(workers=3, held=True)
    sink: asyncio.Queue[Event] = asyncio.Queue(_ENOUGH)
    pcm = track(2 * sentences())
    async with open_pool(engine) as pool, open_recogniser(pool, load_vad_session(), _OPTIONS, sink) as recogniser:
        feeding = asyncio.create_task(recogniser.feed(pcm))
        async with asyncio.timeout(10):
            while len(engine.asked) < 3:  # noqa: ASYNC110 - the engine is watched from outside
                await asyncio.sleep(0.005)
            engine.go.set()
            await feeding
            await recogniser.end()
            finals = []
            while not isinstance(event := await sink.get(), Finished):
                finals += [event] if isinstance(event, FinalText) else []
    assert [final.start_sample for final in finals] == sorted(final.start_sample for final in finals)
    assert len(finals) == event.finals == 2 * len(sentences())


async def test_until_the_language_is_sure_one_utterance_waits_for_the_other() -> None:
    engine = HeldEngine(workers=3, held=True, language="ru", sureness=0.9)
    sink: asyncio.Queue[Event] = asyncio.Queue(_ENOUGH)
    options = RecogniserOptions(EndpointingRules())
    async with open_pool(engine) as pool, open_recogniser(pool, load_vad_session(), options, sink) as recogniser:
        feeding = asyncio.create_task(recogniser.feed(track(2 * sentences("ru"))))
        await asyncio.wait({feeding}, timeout=0.5)
        assert [window.language for window in engine.asked] == [None]
        engine.go.set()
        async with asyncio.timeout(10):
            await feeding
            await recogniser.end()
            while not isinstance(await sink.get(), Finished):
                pass
    assert [window.language for window in engine.asked[1:]] == 5 * ["ru"]
