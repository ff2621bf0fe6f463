"""A session's record: what is remembered of a recorder in a call, whatever becomes of the process."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class State(StrEnum):
    """Where a session stands."""

    IDLE = "idle"
    JOINING = "joining"
    LIVE = "live"
    DEGRADED = "degraded"
    RECONNECTING = "reconnecting"
    LEAVING = "leaving"
    ENDED = "ended"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether nothing comes after it."""
        return self in (State.ENDED, State.FAILED)


NEXT_STATES = {
    State.IDLE: {State.JOINING, State.FAILED},
    State.JOINING: {State.LIVE, State.LEAVING, State.FAILED},
    State.LIVE: {State.DEGRADED, State.RECONNECTING, State.LEAVING, State.FAILED},
    State.DEGRADED: {State.LIVE, State.RECONNECTING, State.LEAVING, State.FAILED},
    State.RECONNECTING: {State.LIVE, State.DEGRADED, State.LEAVING, State.FAILED},
    State.LEAVING: {State.ENDED, State.FAILED},
    State.ENDED: set[State](),
    State.FAILED: set[State](),
}
"""Which state may follow which."""


@dataclass(frozen=True, slots=True)
class Record:
    """One session. `attempts` counts connections to the call; `reason` says why it is in its state, without names."""

    session_id: str
    meeting_id: str
    tenant_id: str
    provider: str
    url: str
    language: str
    request_id: str
    create_time: datetime
    update_time: datetime
    state: State = State.IDLE
    reason: str = ""
    attempts: int = 0
    joined_time: datetime | None = None
    end_time: datetime | None = None


class Ledger(Protocol):
    """Keeps the records."""

    async def create(self, record: Record) -> Record:
        """Keep a new session; returns the one that is there instead, if the meeting has one or the request made one.

        Raises:
            Unavailable: the database is away.
        """

    async def save(self, record: Record) -> None:
        """Keep what has become of a session, and that its connector is alive.

        Raises:
            Unavailable: the database is away.
        """

    async def find(self, tenant_id: str, meeting_id: str) -> Record | None:
        """Return the latest session of a meeting."""

    async def page(self, tenant_id: str, size: int, before: tuple[datetime, str] | None) -> Sequence[Record]:
        """Return sessions, newest first, that were created before the given time and id."""
