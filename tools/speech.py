"""Speech to send: the first voice of the sample interview, as WAV chunks or as frames of samples."""

from __future__ import annotations

import wave
from io import BytesIO

import numpy as np

from examples.interview.interview import SAMPLE_RATE_HERTZ, load


def spoken(seconds: float, *, language: str = "en", offset: float = 0.0) -> bytes:
    """Return so many seconds of speech, again from its start where it ends.

    Args:
        seconds: how much.
        language: "en" or "ru".
        offset: where in the recording it begins, so that meetings need not say the same at the same time.

    Returns:
        Signed 16-bit little-endian samples, mono at 16 kHz.
    """
    track = np.asarray(next(iter(load(language).tracks.values())))
    wanted = np.arange(round(seconds * SAMPLE_RATE_HERTZ)) + round(offset * SAMPLE_RATE_HERTZ)
    return track[wanted % len(track)].astype("<i2").tobytes()


def pieces(pcm: bytes, seconds: float) -> list[bytes]:
    """Cut samples into pieces of this length; the last may be shorter."""
    size = 2 * round(seconds * SAMPLE_RATE_HERTZ)
    return [pcm[start : start + size] for start in range(0, len(pcm), size)]


def wav(pcm: bytes) -> bytes:
    """Return samples as a WAV file."""
    buffer = BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HERTZ)
        file.writeframes(pcm)
    return buffer.getvalue()
