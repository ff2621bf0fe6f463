"""What a room tells its operator; a room passes the sources it has and leaves out the others."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent.ops.v1 import ops_service_pb2 as ops


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


class Breakers(Protocol):
    """Tells the circuit breakers of the room."""

    async def __call__(self) -> Sequence[ops.BreakerStatus]: ...


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


async def no_breakers() -> Sequence[ops.BreakerStatus]:
    """Breakers of a room that calls no provider."""
    return ()


def no_detail() -> str:
    """Nothing to add."""
    return ""


@dataclass(frozen=True, slots=True)
class OpsSources:
    """The sources of one room."""

    sessions: Sessions = field(default=no_sessions)
    queues: Queues = field(default=no_queues)
    breakers: Breakers = field(default=no_breakers)
    detail: Detail = field(default=no_detail)
