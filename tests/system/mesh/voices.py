"""Microphones: the tracks of the sample interview as files that a browser plays instead of one."""

import wave
from pathlib import Path

import av
import numpy as np

from mesh.demo.reference import EXAMPLES

RATE = 48_000


def write_voice(path: Path, language: str, speaker: str, *, lead_seconds: float, seconds: float) -> None:
    """Write a speaker's track as 16-bit mono at 48 kHz: `lead_seconds` of silence, then its first `seconds`."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    pieces = [np.zeros(round(lead_seconds * RATE), np.int16)]
    with av.open(str(EXAMPLES / language / f"{speaker}.flac")) as track:
        for frame in (*track.decode(audio=0), None):
            pieces += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
    samples = np.concatenate(pieces)[: round((lead_seconds + seconds) * RATE)]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())
