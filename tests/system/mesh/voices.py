"""Microphones: the tracks of the sample interview as files that a browser plays instead of one."""

import wave
from dataclasses import replace
from pathlib import Path
from typing import IO

import av
import numpy as np
from numpy.typing import NDArray

from mesh.demo.reference import EXAMPLES, Utterance, read_reference

RATE = 48_000
Samples = NDArray[np.int16]


def write_voice(path: Path, language: str, speaker: str, *, lead_seconds: float, seconds: float) -> None:
    """Write a speaker's track as 16-bit mono at 48 kHz: `lead_seconds` of silence, then its first `seconds`."""
    samples = np.concatenate([_silence(lead_seconds), _track(language, speaker)])
    _write(path, samples[: round((lead_seconds + seconds) * RATE)])


def write_brisk_voice(
    path: Path, language: str, speaker: str, *, pause_seconds: float, rounds: int = 1
) -> list[Utterance]:
    """Write all that a speaker says with nothing but short pauses between; returns where it stands in the file."""
    reference = read_reference(language)
    whole = _track(language, speaker)
    pieces: list[Samples] = []
    said: list[Utterance] = []
    position = 0
    for utterance in reference.utterances * rounds:
        if utterance.speaker == speaker:
            sound = whole[utterance.start_ms * RATE // 1000 : utterance.end_ms * RATE // 1000]
            start_ms, end_ms = position * 1000 // RATE, (position + len(sound)) * 1000 // RATE
            said.append(replace(utterance, start_ms=start_ms, end_ms=end_ms))
            pieces += [sound, _silence(pause_seconds)]
            position += sum(map(len, pieces[-2:]))
    _write(path, np.concatenate(pieces))
    return said


def read_sound(source: str | IO[bytes], rate: int) -> Samples:
    """Read a file of sound as mono; shape (samples,)."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    with av.open(source, "r") as file:
        frames = (*file.decode(audio=0), None)
        return np.concatenate([piece.to_ndarray()[0] for frame in frames for piece in resampler.resample(frame)])


def _track(language: str, speaker: str) -> Samples:
    return read_sound(str(EXAMPLES / language / f"{speaker}.flac"), RATE)


def _silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.int16)


def _write(path: Path, samples: Samples) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())
