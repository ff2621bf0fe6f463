"""Rounds: work that is done again and again, and ends between two rounds rather than in the middle of one.

A statement that is cancelled under way costs its connection to the database; so whoever stops says so and waits.
"""

import asyncio
from collections.abc import Awaitable, Callable

from kit.telemetry import logs

_LAST_ROUND_SECONDS = 10.0

log = logs.get()


class Rounds:
    """One loop of work; give `run` a task of its own, and `stop` it."""

    def __init__(self, work: Callable[[], Awaitable[None]], interval_seconds: float) -> None:
        self._work = work
        self._interval_seconds = interval_seconds
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Work, rest and work again until `stop`; the work sees to its own errors."""
        while not self._stopping.is_set():
            await self._work()
            try:
                async with asyncio.timeout(self._interval_seconds):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    def stop(self) -> None:
        """Let the round under way be the last."""
        self._stopping.set()


async def last_round(*running: "asyncio.Task[None]") -> None:
    """Wait for loops that were told to stop; what takes too long is cut off."""
    _, late = await asyncio.wait(running, timeout=_LAST_ROUND_SECONDS)
    for task in late:
        log.warning("round_cut_off", task=task.get_name())
        task.cancel()
