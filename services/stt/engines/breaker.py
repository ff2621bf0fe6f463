"""A circuit breaker: an engine that fails again and again rests, and is then tried with one utterance.

    closed ──`threshold` failures in a row──▶ open ──after the rest──▶ half open ──one success──▶ closed
                                               ▲                          └──────one failure──▶ open

While it is half open a single utterance is at stake: whoever asks meanwhile goes on to the next engine at once.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from kit.clock import monotonic


@dataclass(frozen=True, slots=True)
class BreakerState:
    """A breaker as operators see it."""

    state: str
    """`closed`, `open` or `half_open`."""
    failures: int
    """In a row."""
    threshold: int
    since_seconds: float
    """In this state."""


class Breaker:
    """One engine's breaker; its methods may be called from any thread."""

    def __init__(self, *, threshold: int, rest_seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._threshold = threshold
        self._rest_seconds = rest_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._state = "closed"
        self._since = clock()
        self._failures = 0
        self._rests_until = 0.0

    @property
    def state(self) -> BreakerState:
        """The state of now."""
        with self._lock:
            return BreakerState(self._state, self._failures, self._threshold, self._clock() - self._since)

    def is_closed(self) -> bool:
        """Whether the engine is asked as a matter of course."""
        return self.state.state == "closed"

    @property
    def rest_seconds(self) -> float:
        """Time until it is worth asking again; 0 unless it is open."""
        with self._lock:
            return max(0.0, self._rests_until - self._clock()) if self._state == "open" else 0.0

    def admit(self) -> bool:
        """Whether the engine may be asked now; whoever is let in reports `succeeded` or `failed`."""
        with self._lock:
            if self._state == "open" and self._clock() >= self._rests_until:
                self._enter("half_open")
                return True
            return self._state == "closed"

    def succeeded(self) -> None:
        """The engine answered."""
        with self._lock:
            if self._state == "open":
                return  # asked before it opened; the rest goes on
            self._failures = 0
            if self._state == "half_open":
                self._enter("closed")

    def failed(self, rest_seconds: float | None = None) -> bool:
        """The engine did not answer; returns whether that opened the breaker.

        Args:
            rest_seconds: how long the engine itself asks to be left alone: the breaker opens at once, for so long.
        """
        with self._lock:
            self._failures += 1
            if self._state == "closed" and self._failures < self._threshold and rest_seconds is None:
                return False
            opened = self._state != "open"
            self._rests_until = self._clock() + max(self._rest_seconds, rest_seconds or 0.0)
            if opened:
                self._enter("open")
            return opened

    def _enter(self, state: str) -> None:
        self._state = state
        self._since = self._clock()
