"""How late text is: the time from the end of speech to the text that holds it, at the pace of the clock."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.result import percentile
from services.stt.audio import SAMPLE_RATE_HERTZ

NEVER_SECONDS = 60.0
"""Stands for text that did not come before the run was over."""


@dataclass(slots=True)
class Delivered:
    """What one call was given: up to which sample, and when."""

    started: float
    """When sample 0 was spoken."""
    marks: list[tuple[float, int]] = field(default_factory=list)
    """Moments, and the sample before which everything was text then."""

    def delays(self, speech_ends: Sequence[int]) -> list[float]:
        """Return how long after each end of speech its text was there, in seconds."""
        found = []
        for end in speech_ends:
            spoken = self.started + end / SAMPLE_RATE_HERTZ
            there = next((moment for moment, sample in self.marks if sample >= end), None)
            found.append(NEVER_SECONDS if there is None else there - spoken)
        return found


@dataclass(frozen=True, slots=True)
class Trial:
    """What so many calls at a time were given."""

    calls: int
    delays: Sequence[float]

    @property
    def p95_seconds(self) -> float:
        """The delay that one of twenty exceeds."""
        return percentile(self.delays, 0.95)
