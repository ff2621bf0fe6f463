"""The calls: tracks of the sample interviews, English and Russian, by espeak-ng, with the truth about each word."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from examples.interview.interview import LANGUAGES, Track, Word, load
from services.stt.audio import SAMPLE_RATE_HERTZ

_PER_MS = SAMPLE_RATE_HERTZ // 1_000
_CLEAR_PAUSE_MS = 1_200
"""Silence after which nobody doubts that the speaker has finished."""
_SHIFT = 7
"""Utterances between the beginnings of two calls with the same voice."""


@dataclass(frozen=True, slots=True)
class Call:
    """One participant's track of a call, and what is said on it."""

    language: str
    pcm: Track
    speech_ends: tuple[int, ...]
    """Samples after which the speaker is silent for more than a second."""
    words: tuple[Word, ...]

    def beginning(self, seconds: float) -> "Call":
        """Return the first seconds of it."""
        samples = round(seconds * SAMPLE_RATE_HERTZ)
        ends = tuple(end for end in self.speech_ends if end < samples)
        words = tuple(word for word in self.words if word.end_ms < seconds * 1_000)
        return Call(self.language, self.pcm[:samples], ends, words)


def make_calls(count: int, seconds: float) -> list[Call]:
    """Return so many calls of a length; no two that sound alike start at the same words while voices last."""
    voices = list(_voices())
    calls = []
    for number in range(count):
        voice = voices[number % len(voices)]
        calls.append(_from(voice, number // len(voices) * _SHIFT, round(seconds * SAMPLE_RATE_HERTZ)))
    return calls


def whole_tracks() -> list[Call]:
    """Return every track of the interviews from end to end."""
    return list(_voices())


@cache
def _load_voices() -> tuple[Call, ...]:
    found = []
    for language in LANGUAGES:
        interview = load(language)
        for speaker in interview.speakers:
            said = interview.utterances(speaker.id)
            length_ms = round(interview.duration_seconds * 1_000)
            gaps = [*((one.end_ms, other.start_ms) for one, other in pairwise(said)), (said[-1].end_ms, length_ms)]
            ends = tuple(end * _PER_MS for end, start in gaps if start - end >= _CLEAR_PAUSE_MS)
            words = tuple(word for utterance in said for word in utterance.words)
            found.append(Call(language, interview.tracks[speaker.id], ends, words))
    return tuple(found)


def _voices() -> Iterator[Call]:
    yield from _load_voices()


def _from(voice: Call, skipped: int, samples: int) -> Call:
    """Return a call that begins in a pause of the voice's track and goes round it."""
    length = len(voice.pcm)
    start = voice.speech_ends[skipped % len(voice.speech_ends)] + _CLEAR_PAUSE_MS * _PER_MS // 2
    pcm = np.resize(np.roll(voice.pcm, -start), samples)
    ends = sorted(
        (end - start) % length + lap * length for end in voice.speech_ends for lap in range(samples // length + 1)
    )
    return Call(voice.language, pcm, tuple(end for end in ends if end < samples), ())
