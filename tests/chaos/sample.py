"""Sample speech: pieces of the sample interviews, with both speakers' tracks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from examples.interview.interview import SAMPLE_RATE_HERTZ, Track, load

PIECES = (("en", 0.0, 31.6), ("ru", 0.0, 30.2), ("en", 75.6, 99.4), ("ru", 57.8, 81.0))
"""Language, first and last second: cut in pauses, nobody muted."""


@dataclass(frozen=True)
class Sample:
    """One piece; `tracks` by participant, all of one length."""

    name: str
    language: str
    tracks: Mapping[str, Track]

    @property
    def samples(self) -> int:
        """Length at 16 kHz."""
        return len(next(iter(self.tracks.values())))

    @property
    def seconds(self) -> float:
        """Length."""
        return self.samples / SAMPLE_RATE_HERTZ


@cache
def samples() -> tuple[Sample, ...]:
    """Read every piece."""
    pieces = []
    for number, (language, start, end) in enumerate(PIECES, start=1):
        first, last = (round(second * SAMPLE_RATE_HERTZ) for second in (start, end))
        tracks = {name: track[first:last] for name, track in load(language).tracks.items()}
        pieces.append(Sample(f"{language}-{number}", language, tracks))
    return tuple(pieces)
