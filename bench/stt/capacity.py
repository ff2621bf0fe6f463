"""The largest number of calls whose text is there in time, found by doubling and bisecting with paced runs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bench.stt.delay import Trial

LATEST_SECONDS = 2.0
"""From the end of speech to its text, for 19 of 20."""

Hold = Callable[[int], Awaitable[Trial]]
"""Holds so many calls."""


@dataclass(slots=True)
class Search:
    """What was tried for one way."""

    trials: list[Trial] = field(default_factory=list)

    @property
    def most(self) -> int:
        """Calls of the largest run that was in time; 0 if none was."""
        return max((trial.calls for trial in self.trials if trial.p95_seconds <= LATEST_SECONDS), default=0)

    @property
    def p95_seconds(self) -> float:
        """Delay in that run."""
        fitting = [trial for trial in self.trials if trial.calls == self.most]
        return min((trial.p95_seconds for trial in fitting), default=0.0)


async def search(hold: Hold, first: int, *, precision: float) -> Search:
    """Find the most calls that `hold` carries.

    Args:
        hold: one paced run.
        first: where to begin; the nearer the guess, the fewer runs.
        precision: share of the result by which it may be too small.

    Returns:
        The runs; a run that failed is tried once more before it counts, for other programs have their moments.
    """
    found = Search()
    fits, fails = 0, 0
    calls = max(1, first)
    while True:
        if await _fits(hold, calls, found):
            fits = calls
            calls = calls * 2 if not fails else (fits + fails) // 2
        else:
            fails = calls
            calls = calls // 2 if not fits else (fits + fails) // 2
        if calls < 1 or (fits and fails and (fails - fits <= max(1, precision * fits))):
            return found


async def _fits(hold: Hold, calls: int, found: Search) -> bool:
    for _ in range(2):
        trial = await hold(calls)
        found.trials.append(trial)
        if trial.p95_seconds <= LATEST_SECONDS:
            return True
        if trial.p95_seconds > 2 * LATEST_SECONDS:
            return False
    return False
