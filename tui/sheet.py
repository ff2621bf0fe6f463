"""A sheet: rows that are asked for now and then, as the stream does not carry them. No Textual here."""

import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from typing import Generic, TypeVar

from tui.errors import ConsoleError
from tui.rows import Row

R = TypeVar("R", bound=Row)

_ANSWER_SECONDS = 2.0


class Sheet(Generic[R]):
    """The newest answer to one question."""

    def __init__(self) -> None:
        self.rows: dict[str, R] = {}
        self.about = ""
        """What the rows belong to, for example the queue whose jobs they are."""
        self.problem = ""
        """Why there is no newer answer."""
        self.asked = False
        """Whether there was an answer about this."""
        self._answered = asyncio.Event()

    def turn_to(self, about: str) -> bool:
        """Ask about something else from now on; return whether it is something else."""
        if about == self.about:
            return False
        self.about, self.rows, self.problem, self.asked = about, {}, "", False
        self._answered.clear()
        return True

    async def fill(self, answer: Awaitable[Sequence[R]]) -> None:
        """Take the rows of an answer; one that fails leaves the rows and says why. An answer that is late, about
        what is no longer asked about, is dropped.
        """
        about = self.about
        try:
            rows = await answer
        except ConsoleError as problem:
            if about == self.about:
                self.problem = str(problem)
                self._answered.set()
            return
        if about == self.about:
            self.rows, self.problem, self.asked = {row.key: row for row in rows}, "", True
            self._answered.set()

    async def answered(self) -> None:
        """Wait for an answer about this, but not long: what was typed ahead may be about rows that are on their way."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._answered.wait()
