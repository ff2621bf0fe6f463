"""Endpointing: where a track's utterances begin and end, by the policy the live service uses.

Speech starts above 0.5, takes 250 ms from before it along, and ends after 550 ms below 0.35.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from faster_whisper.vad import get_vad_model
from numpy.typing import NDArray

SAMPLE_RATE_HERTZ = 16_000
WINDOW_SAMPLES = 512
"""32 ms: the model's step."""
CONTEXT_SAMPLES = 64
START_PROBABILITY = 0.5
KEEP_PROBABILITY = 0.35
PRE_ROLL_SAMPLES = SAMPLE_RATE_HERTZ // 4
END_SILENCE_SAMPLES = SAMPLE_RATE_HERTZ * 55 // 100
LONGEST_SAMPLES = SAMPLE_RATE_HERTZ * 25


@dataclass(frozen=True, slots=True)
class Span:
    """One utterance as cut: half-open, in samples at 16 kHz, pre-roll and closing silence included."""

    start_sample: int
    end_sample: int


def speech_probabilities(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    """Silero's probability of speech for each whole 32 ms window of a track at 16 kHz, in [-1, 1]."""
    count = len(pcm) // WINDOW_SAMPLES
    padded = np.concatenate([np.zeros(CONTEXT_SAMPLES, np.float32), pcm[: count * WINDOW_SAMPLES]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES + CONTEXT_SAMPLES)[::WINDOW_SAMPLES]
    state = np.zeros((1, 1, 128), np.float32)
    probabilities, _, _ = get_vad_model().session.run(
        None, {"input": np.ascontiguousarray(windows), "h": state, "c": state}
    )
    return np.asarray(probabilities, np.float32).reshape(-1)


def utterances(pcm: NDArray[np.float32]) -> Iterator[Span]:
    """Cut a track at 16 kHz, samples in [-1, 1], into utterances in time order."""
    start: int | None = None
    closed = 0
    silence = 0
    for index, probability in enumerate(speech_probabilities(pcm)):
        end = (index + 1) * WINDOW_SAMPLES
        if start is None:
            if probability > START_PROBABILITY:
                start, silence = max(closed, end - WINDOW_SAMPLES - PRE_ROLL_SAMPLES, 0), 0
            continue
        silence = 0 if probability > KEEP_PROBABILITY else silence + WINDOW_SAMPLES
        if silence >= END_SILENCE_SAMPLES or end - start >= LONGEST_SAMPLES:
            yield Span(start, end)
            start, closed = None, end
    if start is not None:
        yield Span(start, len(pcm))
