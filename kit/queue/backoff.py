"""How long a failed job rests: twice as long each time, with jitter, so that many do not come back at once."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Attempt n rests between half and all of `first_seconds * 2^(n-1)`, at most `longest_seconds`."""

    first_seconds: float = 2.0
    longest_seconds: float = 600.0

    def seconds(self, attempts: int) -> float:
        """Time to rest after this many attempts."""
        whole = min(self.longest_seconds, self.first_seconds * 2.0 ** min(attempts - 1, 30))
        return whole * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
