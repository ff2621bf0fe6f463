"""What a start looks like to a person: a line per step, and one line that changes while something takes long."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

_PAUSE_SECONDS = 10.0
"""Between two lines about the same step where lines cannot change: in a log."""


class StartScreen:
    """Shows a start on a console until it is closed; closing twice does nothing more."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._said = -_PAUSE_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def step(self, sentence: str) -> None:
        """One step begins."""
        self._console.print(sentence, style="dim")

    def moving(self, sentence: str) -> None:
        """How far a step is."""
        if self._console.is_terminal:
            if self._status is None:
                self._status = self._console.status(sentence)
                self._status.start()
            self._status.update(sentence)
        elif time.monotonic() - self._said >= _PAUSE_SECONDS:
            self._said = time.monotonic()
            self._console.print(sentence, style="dim", highlight=False)

    def close(self) -> None:
        """Take the changing line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None
