"""Spans: what a participant's track is made of, and where a source writes them."""

from enum import StrEnum
from typing import Protocol

SAMPLE_RATE = 16_000
"""Samples per second of everything that leaves a source: signed 16-bit little-endian, mono."""

BYTES_PER_SAMPLE = 2


class Kind(StrEnum):
    """How samples came to be."""

    OK = "ok"
    """Decoded from a packet that arrived."""
    FEC = "fec"
    """Recovered from the error correction in a later packet."""
    PLC = "plc"
    """Invented in place of packets that were lost."""
    FILL = "fill"
    """Digital silence where the sender sent nothing, at most a second."""


class Reason(StrEnum):
    """Why a span has no samples."""

    MUTED = "muted"
    NO_PACKETS = "no_packets"
    OVERFLOW = "overflow"
    AWAY = "away"
    WITHDRAWN = "withdrawn"


class SpanSink(Protocol):
    """Takes the spans of one track: each starts where the last one ended."""

    def audio(self, start_sample: int, pcm: bytes, kind: Kind) -> None:
        """Take samples that start at `start_sample` of the session's timeline."""

    def gap(self, start_sample: int, end_sample: int, reason: Reason) -> None:
        """Take a span `[start_sample, end_sample)` without samples."""


def samples_of(seconds: float) -> int:
    """Return the number of samples in `seconds`."""
    return round(seconds * SAMPLE_RATE)


def silence(samples: int) -> bytes:
    """Return digital silence of `samples` samples."""
    return bytes(samples * BYTES_PER_SAMPLE)
