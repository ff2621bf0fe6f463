"""Sound as this room handles it: 16 kHz mono, signed 16-bit on the wire, float32 for the models."""

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HERTZ = 16_000
BYTES_PER_SAMPLE = 2

Pcm = NDArray[np.int16]
"""Samples as they arrive, shape (samples,)."""
Waveform = NDArray[np.float32]
"""Samples in [-1, 1), shape (samples,)."""


def from_wire(data: bytes) -> Pcm:
    """Read signed 16-bit little-endian mono; the length must be even."""
    return np.frombuffer(data, dtype="<i2").astype(np.int16, copy=False)


def to_waveform(pcm: Pcm) -> Waveform:
    """Scale to [-1, 1); always a copy, so the source may be written over."""
    return pcm.astype(np.float32) / np.float32(32_768)


def samples_of(seconds: float) -> int:
    """Return the nearest number of samples."""
    return round(seconds * SAMPLE_RATE_HERTZ)


def milliseconds_of(samples: int) -> int:
    """Return whole milliseconds, rounded half up; integer arithmetic, so equal everywhere."""
    return (samples * 1_000 + SAMPLE_RATE_HERTZ // 2) // SAMPLE_RATE_HERTZ
