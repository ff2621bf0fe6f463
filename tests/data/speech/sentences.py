"""Spoken sentences with their text, and tracks made of them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from examples.interview.codec import Pcm, read_flac

HERE = Path(__file__).parent
INDEX = HERE / "sentences.json"
SAMPLE_RATE_HERTZ = 16_000


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word and when it sounds, in seconds from the sentence's first sample, as the synthesiser says."""

    text: str
    """Without punctuation."""
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a synthetic voice that the demonstration model hears exactly."""

    language: str
    text: str
    pcm: Pcm
    """16 kHz mono, without silence around it."""
    words: tuple[SpokenWord, ...]


def sentences(language: str | None = None) -> list[Sentence]:
    """Load the sentences, all or those of one language."""
    return [sentence for sentence in _load() if language in (None, sentence.language)]


def silence(seconds: float) -> Pcm:
    """Return digital silence."""
    return np.zeros(round(seconds * SAMPLE_RATE_HERTZ), np.int16)


def noise(seconds: float, *, amplitude: float = 300.0, seed: int = 7) -> Pcm:
    """Return the same hiss every time."""
    samples = np.random.default_rng(seed).normal(0.0, amplitude, round(seconds * SAMPLE_RATE_HERTZ))
    return samples.clip(-32_768, 32_767).astype(np.int16)


def track(spoken: Sequence[Sentence], *, pause_seconds: float = 1.0) -> Pcm:
    """Return the sentences with a pause before each and after the last."""
    pause = silence(pause_seconds)
    return np.concatenate([pause, *(part for sentence in spoken for part in (sentence.pcm, pause))])


def _load() -> Iterator[Sentence]:
    for entry in json.loads(INDEX.read_text(encoding="utf-8")):
        pcm, rate = read_flac(HERE / entry["file"])
        assert rate == SAMPLE_RATE_HERTZ
        words = tuple(SpokenWord(word, start_ms / 1000, end_ms / 1000) for word, start_ms, end_ms in entry["words"])
        yield Sentence(entry["language"], entry["text"], pcm, words)
