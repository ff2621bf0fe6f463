"""What nobody said has no text: silence, noise, hum, music, and voices too far away to be understood."""

import asyncio

import jiwer
import pytest

from examples.interview.words import normalise
from services.stt.audio import Pcm
from tests.data.speech import sounds
from tests.data.speech.sentences import sentences, silence
from tests.integration.stt.running import RunningStt, recognise, running_stt

_SECONDS = 10.0
_NOTHING = {
    "digital zero": silence(_SECONDS),
    **{
        f"{name} noise at {level} dB": sounds.at_level(sounds.noise(_SECONDS, slope=slope, seed=slope), level)
        for slope, name in enumerate(("white", "pink", "brown"))
        for level in (-55, -30, -12)
    },
    **{
        f"hum of {hertz:.0f} Hz at {level} dB": sounds.at_level(sounds.hum(_SECONDS, hertz), level)
        for hertz in (50.0, 100.0)
        for level in (-50, -20)
    },
    **{f"chords {seed}": sounds.at_level(sounds.chords(_SECONDS, seed), -20) for seed in range(3)},
    **{f"melody {seed}": sounds.at_level(sounds.melody(_SECONDS, seed), -20) for seed in range(6)},
    "typing": sounds.at_level(sounds.clicks(_SECONDS, 1), -30),
}
_MISHEARD = 0.34
"""Word error rate of a sentence with a word or two wrong; invention is above a half."""


async def _texts(stt: RunningStt, pcm: Pcm, language: str) -> list[str]:
    return [final.text for final in await recognise(stt, pcm, language=language, interim=True)]


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_noise_hum_and_music_give_nothing(language: str) -> None:
    async with running_stt() as stt, asyncio.TaskGroup() as tasks:
        hearing = {
            name: tasks.create_task(_texts(stt, sound, language), name=f"test.{name}")
            for name, sound in _NOTHING.items()
        }
        heard = {name: await task for name, task in hearing.items()}
    assert {name: texts for name, texts in heard.items() if texts} == {}


async def test_a_quiet_voice_is_heard_exactly() -> None:
    async with running_stt() as stt:
        for number, sentence in enumerate(sentences()):
            for decibels in (-40, -50):
                quiet = sounds.far(sentence.pcm, decibels=decibels, seed=number)
                assert await _texts(stt, quiet, sentence.language) == [sentence.text]


async def test_a_voice_across_the_room_is_right_or_nothing_where_that_is_asked_for() -> None:
    right = 0
    async with running_stt(least_confidence=0.7) as stt:
        for number, sentence in enumerate(sentences()):
            for decibels, echo_seconds in ((-60, 0.0), (-35, 0.3), (-40, 0.4), (-45, 0.5)):
                heard = await _texts(
                    stt,
                    sounds.far(sentence.pcm, decibels=decibels, echo_seconds=echo_seconds, seed=number),
                    sentence.language,
                )
                text = normalise(" ".join(heard))
                assert not text or jiwer.wer(normalise(sentence.text), text) <= _MISHEARD, (sentence.text, heard)
                right += text == normalise(sentence.text)
    assert right >= len(sentences())
