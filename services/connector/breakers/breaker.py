"""A circuit breaker: the rules, without a clock or a database of their own.

    closed ──5 failures in a row within 60 s──▶ open ──30 s──▶ half_open: one call goes through
       ▲                                         ▲                 │
       └────────────── it succeeds ──────────────┼─────────────────┤
                                                 └──── it fails ───┘

Only a provider that could not be reached or broke down counts; what it refuses and lost media say nothing about it.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

THRESHOLD = 5
"""Failures in a row that open a breaker."""
WINDOW = timedelta(seconds=60)
"""Time within which they happen; failures that are further apart start over."""
REST = timedelta(seconds=30)
"""Time until an open breaker lets one call through to see, and that this call has to bring an answer."""
_ERROR_CHARACTERS = 200


class BreakerState(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Refused(Exception):
    """The breaker lets nothing through for another `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"for another {seconds:.1f} s")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Breaker:
    """One breaker at a moment. `since` is when it entered its state, `probe_time` when it lets the next call through.

    `base` is the address whose failures are counted together; `last_error` has no secrets.
    """

    name: str
    base: str
    since: datetime
    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    first_failure: datetime | None = None
    probe_time: datetime | None = None
    last_error: str = ""

    def admit(self, moment: datetime) -> "Breaker":
        """Return the breaker after it let a call through.

        Raises:
            Refused: it does not.
        """
        if self.state is BreakerState.CLOSED:
            return self
        wait = (self.probe_time - moment).total_seconds() if self.probe_time else 0.0
        if wait > 0:
            raise Refused(wait)
        # A probe whose caller died is overdue, and another one may go.
        since = self.since if self.state is BreakerState.HALF_OPEN else moment
        return replace(self, state=BreakerState.HALF_OPEN, since=since, probe_time=moment + REST)

    def failed(self, moment: datetime, error: str) -> "Breaker":
        """Return the breaker after a call that got through failed."""
        error = error[:_ERROR_CHARACTERS]
        if self.state is BreakerState.HALF_OPEN:
            return self._opened(moment, self.failures + 1, error)
        if self.state is BreakerState.OPEN:
            return replace(self, last_error=error)  # a call that began before it opened
        fresh = self.first_failure is not None and moment - self.first_failure <= WINDOW
        failures = self.failures + 1 if fresh else 1
        counted = replace(
            self, failures=failures, first_failure=self.first_failure if fresh else moment, last_error=error
        )
        return counted._opened(moment, failures, error) if failures >= THRESHOLD else counted

    def closed(self, moment: datetime) -> "Breaker":
        """Return the breaker after a call succeeded, or somebody closed it."""
        since = self.since if self.state is BreakerState.CLOSED else moment
        return replace(self, state=BreakerState.CLOSED, since=since, failures=0, first_failure=None, probe_time=None)

    def _opened(self, moment: datetime, failures: int, error: str) -> "Breaker":
        return replace(
            self, state=BreakerState.OPEN, since=moment, failures=failures, probe_time=moment + REST, last_error=error
        )


@dataclass(frozen=True, slots=True)
class BreakerChange:
    """One change of a breaker's state: `state` is the one after it; `reason` is "failures", "probe", "manual" or "age",
    or for an opening the last error."""

    time: datetime
    state: BreakerState
    reason: str
