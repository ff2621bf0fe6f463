"""A pulse: wakes everyone who waits, each time something changes."""

import asyncio


class Pulse:
    """Take `coming` first, look at the state, then wait: no beat in between is missed.

    Everybody lives on one event loop, so nothing happens between two lines without an `await`.
    """

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def beat(self) -> None:
        """Wake everyone who waits now."""
        self._next.set()
        self._next = asyncio.Event()

    @property
    def coming(self) -> asyncio.Event:
        """The next beat."""
        return self._next
