"""Doing a thing again until it succeeds: jittered backoff, a log line at the first failure and at the end."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kit.clock import monotonic
from kit.errors import Unavailable
from kit.telemetry import logs
from services.ingest.errors import Fenced

T = TypeVar("T")

log = logs.get()


def heed_cancellation() -> None:
    """Raise the cancellation that a TaskGroup has swallowed.

    Until Python 3.13 a group that is cancelled while one of its tasks fails raises the failure only. A loop that tries
    again after failures would then never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Backoff:
    """Growing waits with jitter, in seconds; `reset` after a success."""

    def __init__(self, first: float = 0.1, longest: float = 5.0) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def reset(self) -> None:
        """Start again from the shortest wait."""
        self._next = self._first

    async def pause(self) -> None:
        """Wait, and let the next wait be longer.

        Raises:
            CancelledError: this task was cancelled, and somebody kept it to himself.
        """
        heed_cancellation()
        seconds = self._next * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, not a secret
        self._next = min(self._next * 2, self._longest)
        await asyncio.sleep(seconds)


async def until_done(what: str, attempt: Callable[[], Awaitable[T]], *, longest_seconds: float = 5.0) -> T:
    """Return what `attempt` returns, trying again for as long as a part that it needs is away.

    Args:
        what: name for the log.
        attempt: does it; must be harmless when done twice.
        longest_seconds: longest pause between two attempts.

    Raises:
        Fenced: the meeting is another replica's; no patience helps.
    """
    backoff = Backoff(longest=longest_seconds)
    failed_at: float | None = None
    while True:
        try:
            result = await attempt()
        except Fenced:
            raise
        except Unavailable as error:
            if failed_at is None:
                failed_at = monotonic()
                log.warning("waiting_for_dependency", what=what, error=error.message)
        else:
            if failed_at is not None:
                log.info("dependency_is_back", what=what, seconds=round(monotonic() - failed_at, 1))
            return result
        await backoff.pause()
