"""Voices of the stand-in: what a participant says, from a sound file or made up, for as long as the call lasts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from services.connector.spans import SAMPLE_RATE

MADE_UP_NAMES = ("Anna", "Boris")
_MADE_UP_SECONDS = 6
_PITCH_HERTZ = (210.0, 120.0)
_HARMONICS = 12
_LOUD = 9_000

Pcm = NDArray[np.int16]


class SampleUnreadable(Exception):
    """A sound file cannot be read; the message names it."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A participant: `sound` is 16 kHz mono from the call's first moment on, and silence after it unless `loops`."""

    participant_id: str
    name: str
    sound: Pcm
    loops: bool = False

    def between(self, start: int, end: int) -> bytes:
        """Return the samples `[start, end)` as s16le."""
        places = np.arange(start, end)
        if self.loops and len(self.sound):
            return self.sound[places % len(self.sound)].astype("<i2").tobytes()
        said = self.sound[start:end]
        return np.concatenate([said, np.zeros(end - start - len(said), np.int16)]).astype("<i2").tobytes()


def read_voices(samples: Sequence[str], *, loops: bool = False) -> tuple[Voice, ...]:
    """Return a voice for each `NAME=FILE` (or just `FILE`), or two made up ones that take turns.

    Raises:
        SampleUnreadable: a file is not there or holds no sound.
    """
    if not samples:
        turns = enumerate(zip(MADE_UP_NAMES, _PITCH_HERTZ, strict=True))
        return tuple(Voice(f"p-{turn + 1}", name, _turns(pitch, turn), loops=True) for turn, (name, pitch) in turns)
    voices = []
    for number, sample in enumerate(samples, start=1):
        name, equals, file = sample.partition("=")
        path = Path(file if equals else sample)
        voices.append(Voice(f"p-{number}", name if equals else path.stem, read_sound(path), loops))
    return tuple(voices)


def read_sound(path: Path) -> Pcm:
    """Return a file's sound at 16 kHz mono.

    Raises:
        SampleUnreadable: it is not there or holds no sound.
    """
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    pieces: list[Pcm] = []
    try:
        with av.open(str(path)) as container:
            for frame in (*container.decode(audio=0), None):
                pieces += [piece.to_ndarray().reshape(-1).astype(np.int16) for piece in resampler.resample(frame)]
    except (av.FFmpegError, OSError, IndexError) as error:
        raise SampleUnreadable(f"{path}: {getattr(error, 'strerror', None) or type(error).__name__}") from error
    if not pieces:
        raise SampleUnreadable(f"{path}: no sound")
    return np.concatenate(pieces)


def _turns(pitch: float, turn: int) -> Pcm:
    """Make syllables that rise and fall for one turn, and silence while the other one speaks."""
    time = np.arange(_MADE_UP_SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    wave = sum(np.sin(2 * np.pi * pitch * harmonic * time) / harmonic for harmonic in range(1, _HARMONICS))
    syllables = np.clip(np.sin(2 * np.pi * 3.5 * time), 0, None)
    spoken = np.asarray(wave * syllables)
    spoken = (spoken / np.abs(spoken).max() * _LOUD).astype(np.int16)
    silent = np.zeros_like(spoken)
    return np.concatenate([silent] * turn + [spoken] + [silent] * (len(MADE_UP_NAMES) - 1 - turn))
