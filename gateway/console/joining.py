"""Joining: what several rooms say about the same session, queue or breaker, as one row."""

from collections.abc import Iterable, Sequence

from agent.console.v1 import console_service_pb2 as console
from agent.ops.v1 import ops_service_pb2 as ops

# The state that deserves most attention wins: the connector sees a call drop before ingest does.
_SEVERITY = ("", "ENDED", "LIVE", "CONNECT", "DEGRADED", "RECONN", "STALLED", "FAILED")
_BREAKER_SEVERITY = ("", "closed", "half_open", "open")


def join_sessions(told: Sequence[ops.SessionStatus]) -> console.ConsoleSession:
    """Return one row for a meeting: the worst state, the largest numbers, the first texts, every note."""
    return console.ConsoleSession(
        meeting_id=told[0].meeting_id,
        title=_first(row.title for row in told),
        state=max((row.state for row in told), key=lambda state: _rank(state, _SEVERITY)),
        provider=_first(row.provider for row in told),
        tracks=max(row.tracks for row in told),
        level=max(row.level for row in told),
        lag_ms=max(row.lag_ms for row in told),
        words=max(row.words for row in told),
        age_seconds=max(row.age_seconds for row in told),
        note="; ".join(dict.fromkeys(row.note for row in told if row.note)),
    )


def join_queues(told: Sequence[ops.QueueStatus]) -> console.ConsoleQueue:
    """Return one row for a queue. Rooms count the same table, so any that can read it tells the truth."""
    readable = [row for row in told if not row.error]
    if not readable:
        return console.ConsoleQueue(queue=told[0].queue, error=told[0].error)
    return console.ConsoleQueue(
        queue=readable[0].queue,
        depth=max(row.depth for row in readable),
        pending=max(row.pending for row in readable),
        dead=max(row.dead for row in readable),
        oldest_age_seconds=max(row.oldest_age_seconds for row in readable),
    )


def join_breakers(told: Sequence[ops.BreakerStatus]) -> console.ConsoleBreaker:
    """Return one row for a breaker: the one that is open furthest."""
    worst = max(told, key=lambda row: _rank(row.state, _BREAKER_SEVERITY))
    return console.ConsoleBreaker(
        name=worst.name,
        state=worst.state,
        failures=worst.failures,
        threshold=worst.threshold,
        since_seconds=worst.since_seconds,
    )


def console_room(status: ops.RoomStatus) -> console.ConsoleRoom:
    """Return the row of a room that answers."""
    return console.ConsoleRoom(
        room=status.room,
        state=status.state,
        version=status.version,
        pid=status.pid,
        uptime_seconds=status.uptime_seconds,
        memory_mib=status.memory_mib,
        cpu_percent=status.cpu_percent,
        open_rpcs=status.open_rpcs,
        detail=status.detail,
        error=status.error,
    )


def _rank(state: str, order: Sequence[str]) -> int:
    return order.index(state) if state in order else len(order)


def _first(texts: Iterable[str]) -> str:
    return next((text for text in texts if text), "")
