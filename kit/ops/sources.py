"""What a room tells its operator; a room passes the sources it has and leaves out the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from agent.ops.v1 import ops_service_pb2 as ops
from kit.audit.chain import ChainedDecision
from kit.audit.decision import Decision
from kit.errors import NotFound, Unimplemented
from kit.telemetry.log_tail import PROCESS, LogTail


@dataclass(frozen=True, slots=True)
class Check:
    """One condition for serving.

    `message` says what is wrong and what to do. While a `critical` check fails, health says NOT_SERVING; one that is
    not critical is shown and counted, but calls go on.
    """

    name: str
    ok: bool
    message: str = ""
    critical: bool = True


class Readiness(Protocol):
    """Checks what the room stands on."""

    async def __call__(self) -> Sequence[Check]:
        """Return every check with its outcome; the caller allows 5 s."""


class Sessions(Protocol):
    """Tells the live sessions of the room."""

    async def __call__(self) -> Sequence[ops.SessionStatus]: ...


class Queues(Protocol):
    """Counts the queues that the room works on; one that cannot be read has `error` set."""

    async def __call__(self) -> Sequence[ops.QueueStatus]: ...


class JobRow(Protocol):
    """A job as operators see it: of its payload only what may be shown."""

    @property
    def id(self) -> str: ...
    @property
    def sequence(self) -> int: ...
    @property
    def queue(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def key(self) -> str | None: ...
    @property
    def state(self) -> str: ...
    @property
    def attempts(self) -> int: ...
    @property
    def max_attempts(self) -> int: ...
    @property
    def payload(self) -> Mapping[str, Any]: ...
    @property
    def last_error(self) -> str: ...
    @property
    def create_time(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What an operator wants done to a job.

    `expected_state` is what they saw; `request_id` makes a repeated order harmless, empty: it is not repeated.
    """

    job_id: str
    expected_state: str
    request_id: str = ""
    queue: str = ""
    """Queue that the job must be in; any of the room's if empty."""


class Jobs(Protocol):
    """Shows and mends the jobs of the queues that the room works on."""

    async def page(self, queue: str, state: str, before: int | None, limit: int) -> Sequence[JobRow]:
        """Return jobs of a queue, newest first, older than the `sequence` in `before`, in one state unless it is empty.

        Raises:
            NotFound: the room works on no such queue.
        """

    async def requeue(self, order: JobOrder) -> JobRow:
        """Give a dead job more attempts.

        Raises:
            NotFound: there is no such job in the room's queues.
            FailedPrecondition: it is in another state than expected; metadata `expected` and `actual`.
            InvalidArgument: the request_id came before, with another order.
        """

    async def drop(self, order: JobOrder) -> JobRow | None:
        """Remove a job that does not run; returns it, None if the order is a repeated one. Raises as `requeue`."""


class Breakers(Protocol):
    """Tells the circuit breakers of the room."""

    async def __call__(self) -> Sequence[ops.BreakerStatus]: ...


class Storage(Protocol):
    """Probes the blob store that the room works with, now."""

    async def __call__(self) -> ops.GetStorageHealthResponse: ...


@dataclass(frozen=True, slots=True)
class AuditQuestion:
    """Which decisions are asked for; what is empty or None does not matter.

    `endpoint` is what it starts with; `start` and `end` are the first moment that counts and the first that does not.
    """

    outcome: str = ""
    subject: str = ""
    endpoint: str = ""
    start: datetime | None = None
    end: datetime | None = None


class AuditLog(Protocol):
    """The audit trail that the room keeps."""

    async def page(self, question: AuditQuestion, before: int | None, limit: int) -> Sequence[ChainedDecision]:
        """Return decisions, newest first, whose `sequence` is below `before`."""

    async def append(self, decisions: Sequence[Decision]) -> None:
        """Take decisions of another room, all or none."""


class Detail(Protocol):
    """Tells in one line what the room does, for example the speech model in use."""

    def __call__(self) -> str: ...


async def always_ready() -> Sequence[Check]:
    """Readiness of a room that stands on nothing."""
    return ()


async def no_sessions() -> Sequence[ops.SessionStatus]:
    """Sessions of a room that holds none."""
    return ()


async def no_queues() -> Sequence[ops.QueueStatus]:
    """Queues of a room that works on none."""
    return ()


class NoJobs:
    """Jobs of a room that works on no queue."""

    async def page(self, queue: str, state: str, before: int | None, limit: int) -> Sequence[JobRow]:
        raise NotFound("this room works on no queue", queue=queue)

    async def requeue(self, order: JobOrder) -> JobRow:
        raise NotFound("this room works on no queue", job_id=order.job_id)

    async def drop(self, order: JobOrder) -> JobRow | None:
        raise NotFound("this room works on no queue", job_id=order.job_id)


async def no_breakers() -> Sequence[ops.BreakerStatus]:
    """Breakers of a room that calls no provider."""
    return ()


async def no_storage() -> ops.GetStorageHealthResponse:
    """Storage of a room that holds no blobs."""
    raise Unimplemented("this room holds no blobs")


class NoAuditLog:
    """Audit trail of a room that keeps none."""

    async def page(self, question: AuditQuestion, before: int | None, limit: int) -> Sequence[ChainedDecision]:
        raise Unimplemented("this room keeps no audit trail")

    async def append(self, decisions: Sequence[Decision]) -> None:
        raise Unimplemented("this room keeps no audit trail")


def no_detail() -> str:
    """Nothing to add."""
    return ""


@dataclass(frozen=True, slots=True)
class OpsSources:
    """The sources of one room."""

    sessions: Sessions = field(default=no_sessions)
    queues: Queues = field(default=no_queues)
    jobs: Jobs = field(default_factory=NoJobs)
    breakers: Breakers = field(default=no_breakers)
    storage: Storage = field(default=no_storage)
    audit: AuditLog = field(default_factory=NoAuditLog)
    detail: Detail = field(default=no_detail)
    logs: LogTail = PROCESS
