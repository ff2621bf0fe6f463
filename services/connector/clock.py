"""The session's clock: its timeline counts samples from the moment the session went live."""

import time
from collections.abc import Callable

from services.connector.spans import SAMPLE_RATE


class SessionClock:
    """Counts samples since the session went live; sample 0 is that moment.

    Args:
        monotonic: seconds that never go back.
        wall: seconds since 1970.
        start_time_ms: wall clock at sample 0 of a session that went live before; 0 for one that did not.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        *,
        start_time_ms: int = 0,
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._origin: float | None = None
        self.start_time_ms = start_time_ms
        """Wall clock at sample 0, in milliseconds since 1970; 0 before the session is live."""
        if start_time_ms:
            self._origin = monotonic() - max(0.0, wall() - start_time_ms / 1000)

    @property
    def started(self) -> bool:
        """Whether the session is live."""
        return self._origin is not None

    def start(self) -> None:
        """Make this moment sample 0; later calls change nothing."""
        if self._origin is None:
            self._origin = self._monotonic()
            self.start_time_ms = round(self._wall() * 1000)

    def sample(self) -> int:
        """Return the present sample; 0 before the session is live."""
        if self._origin is None:
            return 0
        return int((self._monotonic() - self._origin) * SAMPLE_RATE)
