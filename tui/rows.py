"""The rows that the console shows, one class per kind. Their texts are clean: nothing else makes them."""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


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


@dataclass(frozen=True, slots=True)
class JobRow(Row):
    """One job of a queue."""

    TOPIC: ClassVar[str] = "jobs"
    KEY: ClassVar[str] = "job_id"

    job_id: str
    queue: str
    kind: str
    about: str = field(metadata={"name": "key"})
    """The contract's `key`, for example the meeting."""
    state: str
    attempts: int
    max_attempts: int
    last_error: str
    create_time: str
    payload: str = ""
    """What it works on, as JSON with secrets masked."""


@dataclass(frozen=True, slots=True)
class AuditRow(Row):
    """One decision about access."""

    TOPIC: ClassVar[str] = "audit"
    KEY: ClassVar[str] = "sequence"

    sequence: int
    time: str
    outcome: str
    endpoint: str
    method: str
    subject: str
    auth_type: str
    reason: str
    tenant_id: str


@dataclass(frozen=True, slots=True)
class MeetingRow(Row):
    """One meeting, live or over."""

    TOPIC: ClassVar[str] = "meetings"
    KEY: ClassVar[str] = "meeting_id"

    meeting_id: str
    title: str
    mode: str
    state: str
    language: str
    provider: str
    create_time: str
    duration_ms: int
    report_state: str
    segments: int


@dataclass(frozen=True, slots=True)
class DeliveryRow(Row):
    """One sending of a report."""

    TOPIC: ClassVar[str] = "deliveries"
    KEY: ClassVar[str] = "delivery_id"

    delivery_id: str
    channel: str
    state: str
    last_error: str
    update_time: str
    attempts: int


@dataclass(frozen=True, slots=True)
class StorageRow(Row):
    """The blob store, as one room sees it."""

    TOPIC: ClassVar[str] = "storage"
    KEY: ClassVar[str] = "room"

    room: str
    mode: str
    path: str
    ok: bool
    error: str
    latency_ms: int


@dataclass(frozen=True, slots=True)
class CheckRow(Row):
    """One condition for serving."""

    TOPIC: ClassVar[str] = "checks"
    KEY: ClassVar[str] = "name"

    room: str
    name: str
    ok: bool
    message: str

    @property
    def key(self) -> str:
        return f"{self.room}/{self.name}"


@dataclass(frozen=True, slots=True)
class ChangeRow(Row):
    """One change of a breaker's state."""

    TOPIC: ClassVar[str] = "history"
    KEY: ClassVar[str] = "time"

    time: str
    state: str
    reason: str

    @property
    def key(self) -> str:
        return f"{self.time} {self.state}"


@dataclass(frozen=True, slots=True)
class DecisionRow(Row):
    """One line of the ledger of reconciliation."""

    TOPIC: ClassVar[str] = "decisions"
    KEY: ClassVar[str] = "time"

    time: str
    meeting_id: str
    session_id: str
    provider: str
    desired: str
    observed: str
    action: str
    reason: str
    source: str

    @property
    def key(self) -> str:
        return f"{self.time} {self.meeting_id or self.provider} {self.action}"


@dataclass(frozen=True, slots=True)
class VoiceRow(Row):
    """One participant: what the connector hears of them, and what became of their audio, in milliseconds."""

    TOPIC: ClassVar[str] = "participants"
    KEY: ClassVar[str] = "participant_id"

    participant_id: str
    display_name: str
    in_call: bool = False
    muted: bool = False
    withdrawn: bool = False
    loss: float = 0.0
    level: int = 0
    """Loudness now, 0 to 255."""
    transcribed: int = 0
    silent: int = 0
    muted_ms: int = 0
    concealed: int = 0
    lost: int = 0
    pending: int = 0


R = TypeVar("R", bound=Row)


def read_row(kind: type[R], message: Message, clean: Callable[[str], str]) -> R:
    """Make a row of a message of the contract; every text passes `clean`, moments become text in UTC."""
    names = _names(kind)  # type: ignore[arg-type]  # a class is hashable
    return kind(*[_read(getattr(message, name), clean) for name in names])


def row_fields(row: Row) -> dict[str, Any]:
    """Return a row with the contract's names."""
    return {_name(one): getattr(row, one.name) for one in fields(row)}


def row_text(row: Row) -> str:
    """Return every text of a row, for filters."""
    values = (getattr(row, one.name) for one in fields(row))
    return " ".join(value for value in values if isinstance(value, str))


def moment(time: Timestamp) -> str:
    """Return a moment as text, empty if it is not set."""
    return f"{time.ToDatetime():%Y-%m-%dT%H:%M:%SZ}" if time.seconds or time.nanos else ""


@cache
def _names(kind: Any) -> tuple[str, ...]:
    """Return the contract's names of a row's fields, in their order; those with a default come from elsewhere."""
    return tuple(_name(one) for one in fields(kind) if one.default is MISSING)


def _read(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return clean(value)
    return moment(value) if isinstance(value, Timestamp) else value


def _name(one: Any) -> str:
    return str(one.metadata.get("name", one.name))
