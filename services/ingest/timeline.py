"""A meeting's timeline: samples at 16 kHz inside, milliseconds where people and JSON read."""

SAMPLE_RATE_HERTZ = 16_000
BYTES_PER_SAMPLE = 2
MAX_AUDIO_BYTES = 32 * 1024
"""Samples in one message, of the contract."""
LAST_SAMPLE = (2**31 - 1) * (SAMPLE_RATE_HERTZ // 1_000)
"""Where milliseconds no longer fit the contract's int32: 24 days."""


def milliseconds_of(sample: int) -> int:
    """Return whole milliseconds, rounded half up.

    Convert boundaries, then subtract: the parts of a whole then add up to the whole.
    """
    return (sample * 1_000 + SAMPLE_RATE_HERTZ // 2) // SAMPLE_RATE_HERTZ


def samples_of(seconds: float) -> int:
    """Return the nearest number of samples."""
    return round(seconds * SAMPLE_RATE_HERTZ)
