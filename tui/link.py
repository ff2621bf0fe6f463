"""The state of the stream, as the operator sees it."""

from dataclasses import dataclass, field
from typing import Literal

from tui.errors import ConsoleError

LinkState = Literal["connecting", "live", "stale", "offline", "refused"]


@dataclass(slots=True)
class Link:
    """How the stream is doing. Times are seconds of the monotonic clock."""

    stale_seconds: float = 4.0
    """Silence after which the data is called stale."""
    problem: ConsoleError | None = None
    """Why there is no stream; None while there is one."""
    attempt: int = 0
    """Attempts since the stream was lost."""
    retry_at: float = 0.0
    last_frame_at: float | None = None
    _state: LinkState = field(default="connecting")

    def state(self, now: float) -> LinkState:
        """The state at this moment."""
        if self._state == "live" and self.silent_seconds(now) >= self.stale_seconds:
            return "stale"
        return self._state

    def silent_seconds(self, now: float) -> float:
        """Seconds since the last frame; 0 before the first."""
        return now - self.last_frame_at if self.last_frame_at is not None else 0.0

    def heard(self, now: float) -> None:
        """A frame has come."""
        self._state, self.problem, self.attempt, self.last_frame_at = "live", None, 0, now

    def lost(self, problem: ConsoleError, retry_at: float) -> None:
        """The stream is gone; the next attempt is at `retry_at`."""
        self._state, self.problem, self.retry_at = "offline", problem, retry_at
        self.attempt += 1

    def refused(self, problem: ConsoleError) -> None:
        """The gateway does not want this caller; asking again cannot help."""
        self._state, self.problem = "refused", problem

    def asks_again(self) -> None:
        """There is a reason to hope: the gateway is asked although it had refused."""
        self._state, self.problem = "connecting", None

    @property
    def refusal(self) -> ConsoleError | None:
        """Why there will be no stream, if so."""
        return self.problem if self._state == "refused" else None
