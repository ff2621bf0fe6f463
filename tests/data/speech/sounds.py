"""Sounds that are not speech, and speech from the other end of a room; the same every time."""

import numpy as np
from numpy.typing import NDArray

from examples.interview.codec import Pcm
from tests.data.speech.sentences import SAMPLE_RATE_HERTZ, silence

Sound = NDArray[np.float64]
_FULL_SCALE = 32_768
_SCALE_HERTZ = tuple(220.0 * 2 ** (step / 12) for step in range(20))


def at_level(sound: Sound, decibels: float) -> Pcm:
    """Return the sound with this root mean square, in decibels below full scale."""
    loudness = float(np.sqrt(np.mean(sound**2)))
    return (sound / loudness * 10 ** (decibels / 20) * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def noise(seconds: float, *, slope: int, seed: int) -> Sound:
    """Return noise whose power falls with the frequency's `slope`: 0 white, 1 pink, 2 brown."""
    count = _count(seconds)
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=count))
    spectrum[0] = 0.0
    spectrum[1:] *= np.fft.rfftfreq(count)[1:] ** (-slope / 2)
    return np.fft.irfft(spectrum, count)


def hum(seconds: float, hertz: float) -> Sound:
    """Return what a bad cable picks up: a tone and its overtones."""
    times = np.arange(_count(seconds)) / SAMPLE_RATE_HERTZ
    tone: Sound = np.sum(
        [np.sin(2 * np.pi * hertz * order * times + order) / order**1.5 for order in range(1, 8)], axis=0
    )
    return tone


def melody(seconds: float, seed: int) -> Sound:
    """Return plucked notes, one after another."""
    random = np.random.default_rng(seed)
    notes: list[Sound] = []
    while sum(map(len, notes)) < _count(seconds):
        notes.append(_note(_SCALE_HERTZ[random.integers(len(_SCALE_HERTZ))], random.choice([0.2, 0.25, 0.4, 0.5])))
    return np.concatenate(notes)[: _count(seconds)]


def chords(seconds: float, seed: int) -> Sound:
    """Return plucked major and minor chords, one a second."""
    random = np.random.default_rng(seed)
    played: list[Sound] = []
    while sum(map(len, played)) < _count(seconds):
        root, third = _SCALE_HERTZ[random.integers(12)] / 2, random.choice([3, 4])
        played.append(np.sum([_note(root * 2 ** (step / 12), 1.0) for step in (0, third, 7, 12)], axis=0))
    return np.concatenate(played)[: _count(seconds)]


def clicks(seconds: float, seed: int) -> Sound:
    """Return typing: six short bursts a second."""
    random = np.random.default_rng(seed)
    typed = np.zeros(_count(seconds))
    for start in random.integers(0, len(typed) - 600, _count(seconds) * 6 // SAMPLE_RATE_HERTZ):
        typed[start : start + 600] += random.normal(size=600) * np.exp(-np.arange(600) / 80)
    return typed


def far(pcm: Pcm, *, decibels: float, echo_seconds: float = 0.0, seed: int = 0) -> Pcm:
    """Return speech from afar, a second of the room's hiss around it.

    Args:
        pcm: the speech.
        decibels: its root mean square after that, below full scale.
        echo_seconds: time in which the room's echo falls by 60 dB; 0 for a quiet voice in a dry room.
        seed: of the room.
    """
    random = np.random.default_rng(seed)
    spoken = np.concatenate([silence(1.0), pcm, silence(1.0)]).astype(np.float64)
    heard = spoken
    if echo_seconds:
        count = _count(echo_seconds)
        echo = random.normal(size=count) * 10 ** (-3 * np.arange(count) / count)
        echo *= 0.8 / np.sqrt(np.sum(echo**2))
        echo[0] += 0.6
        size = len(spoken) + count
        heard = np.fft.irfft(np.fft.rfft(spoken, size) * np.fft.rfft(echo, size), size)
    gain = 10 ** (decibels / 20) / np.sqrt(np.mean(pcm.astype(np.float64) ** 2)) * _FULL_SCALE
    hiss = random.normal(size=len(heard)) * 10 ** (-75 / 20) * _FULL_SCALE
    mixed: Sound = (heard * gain + hiss).clip(-_FULL_SCALE, _FULL_SCALE - 1)
    return mixed.astype(np.int16)


def _note(hertz: float, seconds: float) -> Sound:
    times = np.arange(_count(seconds)) / SAMPLE_RATE_HERTZ
    tone: Sound = np.sum([np.sin(2 * np.pi * hertz * order * times) / order for order in range(1, 7)], axis=0)
    return tone * np.minimum(times / 0.02, 1.0) * np.exp(-2 * times)


def _count(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE_HERTZ)
