"""Waiting for what follows the end of a meeting, where work after meetings is done inline: text, account, report."""

import asyncio
from typing import Protocol

from kit.clock import monotonic
from kit.db.engine import DatabaseUnavailable
from services.ingest.intake.session import MeetingKey

_POLL_SECONDS = 0.1
_LONGEST_SECONDS = 60.0
_SHARE = 0.8
"""Of the time that a caller has left; the rest is for the answer."""
_ENDED = ("finished", "failed")
_REPORTED = ("ready", "failed", "none")
"""A report is asked for with the end of a meeting, or never: a quick recording may be sound alone."""


class Store(Protocol):
    """Where the states of meetings are."""

    async def report_state(self, key: MeetingKey) -> tuple[str, str]: ...


class Aftermath:
    """What is done after meetings, seen from the call that ended one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def wait(self, key: MeetingKey, seconds_left: float | None) -> bool:
        """Wait until a meeting is over and its report is there or has failed; sending it goes on by itself.

        Args:
            key: of the meeting.
            seconds_left: what the caller's deadline leaves; None if there is none.

        Returns:
            Whether it came to that; if not, it goes on without the caller.

        Raises:
            MeetingNotFound: there is none for this tenant.
        """
        share = _LONGEST_SECONDS if seconds_left is None else min(seconds_left * _SHARE, _LONGEST_SECONDS)
        deadline = monotonic() + share
        while True:
            try:
                state, report = await self._store.report_state(key)
            except DatabaseUnavailable:
                state = report = ""
            if state in _ENDED and (state == "failed" or report in _REPORTED):
                return True
            if monotonic() + _POLL_SECONDS > deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
