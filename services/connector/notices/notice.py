"""A notice: what is known of one participant's consent."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

CHANNELS = ("chat", "roster")


@dataclass(frozen=True, slots=True)
class Notice:
    """One participant of one session.

    `channel` and `told_time` say how and when they were told, empty and None while they were not. `withdrawn_time` is
    when they last withdrew, `consented_time` when they last consented after that.
    """

    participant_id: str
    display_name: str = ""
    channel: str = ""
    told_time: datetime | None = None
    withdrawn_time: datetime | None = None
    consented_time: datetime | None = None

    @property
    def withdrawn(self) -> bool:
        """Whether they are not to be recorded."""
        if self.withdrawn_time is None:
            return False
        return self.consented_time is None or self.consented_time < self.withdrawn_time


@dataclass(frozen=True, slots=True)
class Call:
    """The session that notices belong to."""

    tenant_id: str
    meeting_id: str
    session_id: str


class Notices(Protocol):
    """Keeps notices."""

    async def keep(self, call: Call, notices: Sequence[Notice]) -> None:
        """Keep what became of participants; those of a meeting that was erased are forgotten.

        Raises:
            Unavailable: the database is away.
        """

    async def of_session(self, tenant_id: str, session_id: str) -> Sequence[Notice]:
        """Return the notices of a session, in the order in which people were told.

        Raises:
            Unavailable: the database is away.
        """

    async def withdrawals(self, session_ids: Collection[str]) -> Sequence[tuple[str, Notice]]:
        """Return who is not to be recorded in sessions, with the session of each.

        Raises:
            Unavailable: the database is away.
        """

    async def withdrawn(self, tenant_id: str, meeting_id: str) -> frozenset[str]:
        """Return who is not to be recorded, by the last that any session of the meeting heard of them.

        Raises:
            Unavailable: the database is away.
        """
