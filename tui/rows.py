"""The rows that the console shows, one class per topic. Their texts are clean: nothing else makes them."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar, TypeVar

from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a topic; `KEY` names the field that identifies it. Fields are the contract's."""

    TOPIC: ClassVar[str]
    KEY: ClassVar[str]

    @property
    def key(self) -> str:
        """What identifies the row within its topic."""
        return str(getattr(self, self.KEY))


@dataclass(frozen=True, slots=True)
class RoomRow(Row):
    """One process of the mesh."""

    TOPIC: ClassVar[str] = "rooms"
    KEY: ClassVar[str] = "room"

    room: str
    state: str
    version: str
    pid: int
    uptime_seconds: int
    memory_mib: int
    cpu_percent: float
    open_rpcs: int
    detail: str
    error: str


@dataclass(frozen=True, slots=True)
class SessionRow(Row):
    """One meeting being recorded."""

    TOPIC: ClassVar[str] = "sessions"
    KEY: ClassVar[str] = "meeting_id"

    meeting_id: str
    title: str
    state: str
    provider: str
    tracks: int
    level: int
    lag_ms: int
    words: int
    age_seconds: int
    note: str


@dataclass(frozen=True, slots=True)
class QueueRow(Row):
    """One queue."""

    TOPIC: ClassVar[str] = "queues"
    KEY: ClassVar[str] = "queue"

    queue: str
    depth: int
    pending: int
    dead: int
    oldest_age_seconds: int
    error: str


@dataclass(frozen=True, slots=True)
class BreakerRow(Row):
    """One circuit breaker."""

    TOPIC: ClassVar[str] = "breakers"
    KEY: ClassVar[str] = "name"

    name: str
    state: str
    failures: int
    threshold: int
    since_seconds: int


R = TypeVar("R", bound=Row)


def read_row(kind: type[R], message: Message, clean: Callable[[str], str]) -> R:
    """Make a row of a message of the contract; every text passes `clean`."""
    values = {field.name: getattr(message, field.name) for field in fields(kind)}
    return kind(**{name: clean(value) if isinstance(value, str) else value for name, value in values.items()})
