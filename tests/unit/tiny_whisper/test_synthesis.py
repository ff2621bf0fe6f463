"""Spoken sentences: whose word is when, what Whisper sees of it, and whom training never hears."""

from random import Random

import numpy as np
import pytest

from examples.interview.espeak import Speech, SpokenWord, Voice
from tools.tiny_whisper.language import CODES
from tools.tiny_whisper.synthesis import FLOOR, FRAMES_PER_SECOND, Kind, mel_of, speak_some
from tools.tiny_whisper.voices import ACCENTS, HELD_OUT, TRAINED, draw_voice


class Hummer:
    """Hums each word for a third of a second; runs a word of three letters together with the one before it."""

    version = "hummer 1"

    def say(self, text: str, voice: Voice) -> Speech:
        """Hum as loud for every voice, a fifth of a semitone higher for each step of pitch."""
        words = text.split()
        samples = 16_000 // 3 * len(words)
        hum = np.sin(np.arange(samples) * 2 * np.pi * (100 + voice.pitch) / 16_000)
        events = []
        for number, word in enumerate(words):
            if len(word) != 3 or number == 0:
                first = len(" ".join([*words[:number], ""]))
                events.append(SpokenWord(first, number / 3))
        return Speech((hum * 8_000).astype(np.int16), 16_000, tuple(events))


@pytest.mark.parametrize("code", CODES)
def test_every_word_has_a_time_and_they_go_forward(code: str) -> None:
    for spoken in speak_some(Hummer(), code, tuple(Kind), 60, seed="1", held_out=False):
        assert len(spoken.word_times) == len(spoken.text.split())
        edges = [edge for times in spoken.word_times for edge in times]
        assert edges == sorted(edges)
        assert edges[0] == 0.0
        assert edges[-1] == pytest.approx(len(spoken.pcm) / 16_000, abs=0.002)


@pytest.mark.parametrize("code", CODES)
def test_the_same_seed_says_the_same(code: str) -> None:
    def some(seed: str) -> list[tuple[str, str, int, bytes]]:
        spoken = speak_some(Hummer(), code, tuple(Kind), 12, seed=seed, held_out=False)
        return [(one.text, one.voice, len(one.pcm), one.pcm.tobytes()) for one in spoken]

    assert some("1/en-000") == some("1/en-000")
    assert some("1/en-000") != some("1/en-001")


def test_held_out_voices_are_held_out() -> None:
    assert not set(HELD_OUT) & set(TRAINED)
    draw = Random(1)
    for code in CODES:
        trained = {draw_voice(code, draw, held_out=False).name.partition("+")[2] for _ in range(2_000)}
        held_out = {draw_voice(code, draw, held_out=True).name.partition("+")[2] for _ in range(500)}
        assert held_out == set(HELD_OUT)
        assert trained == {"", *TRAINED}
        assert {draw_voice(code, draw, held_out=True).name.partition("+")[0] for _ in range(500)} == set(ACCENTS[code])


def test_a_mel_has_a_hundred_frames_a_second_and_silence_is_its_floor() -> None:
    assert mel_of(np.zeros(16_000, np.int16)).shape == (FRAMES_PER_SECOND + 1, 80)
    assert float(mel_of(np.zeros(16_000, np.int16)).max()) == FLOOR
    [spoken] = speak_some(Hummer(), "en", (Kind.SENTENCE,), 1, seed="1", held_out=False)
    assert float(mel_of(spoken.pcm).max()) > -1.0
