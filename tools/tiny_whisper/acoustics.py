"""What happens to speech on its way to a microphone, done to mel frames: tempo, vocal tract, noise, room, telephone."""

from random import Random

import numpy as np
from numpy.typing import NDArray

from tools.tiny_whisper.synthesis import FLOOR, Mel

BANDS = 80

Frames = NDArray[np.float32]
"""A `Mel` to compute with."""

_DYNAMIC_RANGE = 8.0
"""Whisper drops what lies further below the loudest frame."""
_ROOM_FRAMES = 6


def warp(mel: Mel, tempo: float, tract: float) -> Frames:
    """Speak faster and with a shorter vocal tract, by linear interpolation; factors near 1."""
    frames, bands = mel.shape
    mel = mel.astype(np.float32)
    at = np.minimum(np.arange(max(8, round(frames / tempo))) * tempo, frames - 1)
    before, share = at.astype(int), (at % 1).astype(np.float32)[:, None]
    mel = mel[before] * (1 - share) + mel[np.minimum(before + 1, frames - 1)] * share
    at = np.clip(np.arange(bands) * tract, 0, bands - 1)
    below, share = at.astype(int), (at % 1).astype(np.float32)[None]
    warped: Frames = mel[:, below] * (1 - share) + mel[:, np.minimum(below + 1, bands - 1)] * share
    return warped


def quiet(frames: int) -> Frames:
    """Return digital silence."""
    return np.full((frames, BANDS), FLOOR, np.float32)


def noise(frames: int, level: float, draw: Random, arrays: np.random.Generator) -> Frames:
    """Return steady noise of a random colour and roughness, around a level in log power."""
    colour = np.linspace(0.0, draw.uniform(-1.5, 0.8), BANDS)[None]
    steadiness = draw.choice((2.0, 4.0, 8.0))
    rough = np.log10(arrays.gamma(steadiness, 1 / steadiness, (frames, BANDS)) + 1e-6)
    made: Frames = (level + colour + rough).astype(np.float32)
    return made


def record(mel: Frames, draw: Random, arrays: np.random.Generator) -> Frames:
    """Let speech be heard: a random gain, and now and then noise, a room, a telephone."""
    heard: Frames = np.add(mel, draw.uniform(-2.0, 0.7), dtype=np.float32)
    if draw.random() < 0.55:
        speech = float(np.log10(np.mean(10.0**heard)))
        around = noise(len(heard), speech - draw.uniform(1.5, 5.0), draw, arrays)
        heard = np.log10(10.0**heard + 10.0**around).astype(np.float32)
    if draw.random() < 0.2:
        heard = _reverberate(heard, draw.uniform(0.1, 0.3))
    if draw.random() < 0.12:
        heard[:, draw.randint(58, 66) :] = FLOOR
    return heard


def normalise(mel: Frames, dynamic_range: float = _DYNAMIC_RANGE) -> Frames:
    """Scale a window as Whisper does; silence becomes a flat line."""
    scaled: Frames = ((np.maximum(mel, max(float(mel.max()) - dynamic_range, FLOOR)) + 4) / 4).astype(np.float32)
    return scaled


def blot(mel: Frames, draw: Random) -> Frames:
    """Hide a few bands or a few frames, so that no single one is relied upon."""
    if draw.random() < 0.3:
        first = draw.randint(0, 72)
        mel[:, first : first + draw.randint(1, 7)] = mel.mean()
    if draw.random() < 0.3:
        first = draw.randint(0, max(1, len(mel) - 8))
        mel[first : first + draw.randint(1, 7)] = mel.mean()
    return mel


def _reverberate(mel: Frames, decay: float) -> Frames:
    """Add echoes of the last frames, each `decay` times as strong as the one before."""
    power = 10.0**mel
    echoed = power.copy()
    for late in range(1, min(_ROOM_FRAMES, len(mel) - 1) + 1):
        echoed[late:] += decay**late * power[:-late]
    heard: Frames = np.log10(echoed).astype(np.float32)
    return heard
