"""A session's record: what is remembered of a recorder in a call, whatever becomes of the process."""

from collections.abc import Mapping, Sequence
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

    @property
    def connected(self) -> bool:
        """Whether the recorder is in the call."""
        return self in (State.LIVE, State.DEGRADED)


NEXT_STATES = {
    State.IDLE: {State.JOINING, State.FAILED},
    State.JOINING: {State.LIVE, State.RECONNECTING, State.LEAVING, State.FAILED},
    State.LIVE: {State.DEGRADED, State.RECONNECTING, State.LEAVING, State.FAILED},
    State.DEGRADED: {State.LIVE, State.RECONNECTING, State.LEAVING, State.FAILED},
    State.RECONNECTING: {State.LIVE, State.DEGRADED, State.LEAVING, State.FAILED},
    State.LEAVING: {State.ENDED, State.FAILED},
    State.ENDED: set[State](),
    State.FAILED: set[State](),
}
"""Which state may follow which."""


class Wish(StrEnum):
    """What another replica asks of the one that holds a session."""

    NONE = ""
    LEAVE = "leave"
    RECONNECT = "reconnect"


@dataclass(frozen=True, slots=True)
class Transition:
    """One step of a session: the `ordinal`th, from 1; `reason` is without names."""

    ordinal: int
    time: datetime
    before: State
    after: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One session. `attempts` counts connections to the call; `reason` says why it is in its state, without names.

    `epoch` counts the replicas that took it up and fences the earlier ones; `held` says whether the last of them has
    told lately that it lives, `last_seen_time` when. `start_time_ms` is the wall clock at sample 0 in milliseconds
    since 1970, 0 before it; `met` is whether anybody was heard in the call; `steps` counts transitions.
    """

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
    epoch: int = 1
    held: bool = True
    last_seen_time: datetime | None = None
    start_time_ms: int = 0
    met: bool = False
    cursor: str = ""
    steps: int = 0
    wish: Wish = Wish.NONE

    @property
    def audio_session_id(self) -> str:
        """Name of the session toward ingest: each replica that takes it up begins a new one."""
        return self.session_id if self.epoch <= 1 else f"{self.session_id}.{self.epoch}"

    @property
    def key(self) -> tuple[str, str]:
        """Whose meeting."""
        return self.tenant_id, self.meeting_id


class SessionTaken(Exception):
    """Another replica has taken the session up, or its row is gone: this one has nothing more to say."""


class Ledger(Protocol):
    """Keeps the records. Methods raise Unavailable while the database is away."""

    async def create(self, record: Record) -> Record:
        """Keep a new session; returns the one that is there instead, if the meeting has one or the request made one.

        The new one goes on with the timeline of an earlier session of the meeting.
        """

    async def save(self, record: Record, steps: Sequence[Transition] = ()) -> None:
        """Keep what has become of a session, the steps that it took, and that its connector is alive.

        Raises:
            SessionTaken: it is not this replica's any more.
        """

    async def release(self, record: Record, steps: Sequence[Transition] = ()) -> None:
        """As `save`, but let another replica take it up from now on."""

    async def claim(self, record: Record, reason: str) -> Record | None:
        """Take a session up whose connector is gone; returns it with its next epoch, None if another was faster."""

    async def find(self, tenant_id: str, meeting_id: str) -> Record | None:
        """Return the latest session of a meeting."""

    async def page(
        self,
        tenant_id: str,
        size: int,
        before: tuple[datetime, str] | None,
        *,
        provider: str = "",
        active: bool = False,
    ) -> Sequence[Record]:
        """Return sessions, newest first, that were created before the given time and id."""

    async def transitions(self, session_ids: Sequence[str], most: int | None) -> Mapping[str, Sequence[Transition]]:
        """Return the steps of sessions, newest first, so many of each at most."""

    async def stale(self, limit: int, provider: str = "") -> Sequence[Record]:
        """Return sessions that are not over and whose connector is gone, the longest unseen first."""

    async def ask(self, record: Record, wish: Wish, reason: str) -> None:
        """Ask the replica that holds a session for something."""

    async def wishes(self) -> Sequence[tuple[str, Wish, str]]:
        """Take what others ask of this replica's sessions: session, wish, reason."""
