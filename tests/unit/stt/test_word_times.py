"""Word times: held to where the voice was heard."""

import numpy as np

from services.stt.audio import samples_of
from services.stt.endpointing import Utterance
from services.stt.engines.engine import HeardWord, Hypothesis
from services.stt.word_times import held_to_speech


def _held(*words: tuple[float, float]) -> list[tuple[float, float]]:
    """What becomes of words in an utterance of 3 s whose voice sounds from 0.25 s to 2.25 s."""
    utterance = Utterance(
        start_sample=samples_of(10.0),
        speech_start_sample=samples_of(10.25),
        end_sample=samples_of(12.25),
        boundary_sample=samples_of(12.55),
        waveform=np.zeros(samples_of(2.55), np.float32),
        is_speech=True,
    )
    heard = tuple(HeardWord("word", start, end, 0.9) for start, end in words)
    held = held_to_speech(Hypothesis("words", heard, -0.1, 0.0, "en", 1.0, "e", "m"), utterance)
    return [(word.start_seconds, word.end_seconds) for word in held.words]


def test_the_first_word_begins_with_the_voice_and_the_last_one_ends_with_it() -> None:
    assert _held((0.0, 0.6), (0.6, 1.2), (1.2, 1.9)) == [(0.25, 0.6), (0.6, 1.2), (1.2, 2.25)]


def test_no_word_lies_outside_the_voice() -> None:
    assert _held((0.0, 0.1), (0.1, 2.4), (2.4, 2.5)) == [(0.25, 0.25), (0.25, 2.25), (2.25, 2.25)]


def test_a_laugh_after_the_last_word_is_not_part_of_it() -> None:
    assert _held((0.3, 1.0)) == [(0.3, 1.5)]


def test_a_hypothesis_without_words_stays_without() -> None:
    assert _held() == []
