"""The board: the newest row for every room, session, queue and breaker, with the version at which it last changed.

Clients read what changed since the version that they have. Nothing is queued for them: a client that is slow reads
fewer, later states, and no room and no other client waits for it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from google.protobuf.message import Message

from agent.console.v1 import console_service_pb2 as console
from agent.ops.v1 import ops_service_pb2 as ops
from gateway.console.joining import console_room, join_breakers, join_queues, join_sessions

TOPICS = ("rooms", "sessions", "queues", "breakers")

_KEPT_GONE = 4096

T = TypeVar("T", ops.SessionStatus, ops.QueueStatus, ops.BreakerStatus)


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed: rows by key ("sessions/<meeting_id>"), keys that are gone, and the version they lead to."""

    version: int
    rows: Mapping[str, Message]
    gone: Sequence[str]


class Board:
    """Joins the rooms' snapshots. `accept` and `away` are for watchers, the rest for clients."""

    def __init__(self, rooms: Iterable[str]) -> None:
        self._version = 0
        self._snapshots: dict[str, ops.WatchResponse] = {}
        self._rooms: dict[str, console.ConsoleRoom] = {}
        self._rows: OrderedDict[str, tuple[int, Message]] = OrderedDict()
        self._gone: OrderedDict[str, int] = OrderedDict()
        self._forgotten = 0
        self._changed = asyncio.Event()
        for room in rooms:
            self.away(room, "not reached yet")

    @property
    def version(self) -> int:
        """Number of the newest change."""
        return self._version

    def accept(self, room: str, snapshot: ops.WatchResponse) -> None:
        """Take a room's snapshot; it replaces everything that the room said before."""
        row = console_room(snapshot.room)
        row.room = room
        self._rooms[room] = row
        self._snapshots[room] = snapshot
        self._renew()

    def away(self, room: str, error: str) -> None:
        """Note that a room does not answer: its row says so, and what it told last is marked."""
        last = self._rooms.get(room)
        row = console.ConsoleRoom(room=room, state="away", error=error, version=last.version if last else "")
        self._rooms[room] = row
        if room in self._snapshots:
            self._snapshots[room] = _marked(self._snapshots[room], room)
        self._renew()

    def forget(self, room: str) -> None:
        """Drop a replica that is no longer meant to be there, and what it told."""
        self._rooms.pop(room, None)
        self._snapshots.pop(room, None)
        self._renew()

    def changes_since(self, version: int, topics: frozenset[str]) -> Changes | None:
        """Return what changed after `version`; None when too much is gone to tell, so that a snapshot is needed."""
        if version < self._forgotten:
            return None
        rows = {key: row for key, (at, row) in self._rows.items() if at > version and _topic(key) in topics}
        gone = [key for key, at in self._gone.items() if at > version and _topic(key) in topics]
        return Changes(self._version, rows, gone)

    def everything(self, topics: frozenset[str]) -> Changes:
        """Return every row."""
        rows = {key: row for key, (_, row) in self._rows.items() if _topic(key) in topics}
        return Changes(self._version, rows, ())

    def session_state(self, meeting_id: str) -> str:
        """Return the state of a session as operators see it; empty when there is none."""
        known = self._rows.get(f"sessions/{meeting_id}")
        return str(getattr(known[1], "state", "")) if known else ""

    async def changed(self, version: int) -> None:
        """Wait until there is something newer than `version`."""
        while self._version <= version:
            await self._changed.wait()

    def _renew(self) -> None:
        rows = dict(self._joined())
        version = self._version + 1
        for key, row in rows.items():
            known = self._rows.get(key)
            if known is None or known[1] != row:
                self._rows[key] = (version, row)
                self._gone.pop(key, None)
                self._version = version
        for key in [key for key in self._rows if key not in rows]:
            del self._rows[key]
            self._gone[key] = version
            self._version = version
        while len(self._gone) > _KEPT_GONE:
            _, self._forgotten = self._gone.popitem(last=False)
        if self._version == version:
            self._changed.set()
            self._changed = asyncio.Event()

    def _joined(self) -> Iterable[tuple[str, Message]]:
        told = list(self._snapshots.values())
        return chain(
            ((f"rooms/{name}", row) for name, row in self._rooms.items()),
            _by_key("sessions", (row for one in told for row in one.sessions), _meeting, join_sessions),
            _by_key("queues", (row for one in told for row in one.queues), _queue, join_queues),
            _by_key("breakers", (row for one in told for row in one.breakers), _breaker, join_breakers),
        )


def page_of(
    rows: Iterable[tuple[str, Message]], gone: Iterable[str] = (), *, more: bool = False
) -> console.ConsolePage:
    """Return a page with these rows and keys."""
    page = console.ConsolePage(more=more, gone=gone)
    for key, row in rows:
        getattr(page, _topic(key)).append(row)
    return page


def _by_key(
    topic: str, rows: Iterable[T], key_of: Callable[[T], str], join: Callable[[Sequence[T]], Message]
) -> Iterable[tuple[str, Message]]:
    groups: dict[str, list[T]] = {}
    for row in rows:
        groups.setdefault(key_of(row), []).append(row)
    return ((f"{topic}/{key}", join(group)) for key, group in groups.items())


def _meeting(row: ops.SessionStatus) -> str:
    return row.meeting_id


def _queue(row: ops.QueueStatus) -> str:
    return row.queue


def _breaker(row: ops.BreakerStatus) -> str:
    return row.name


def _topic(key: str) -> str:
    return key.partition("/")[0]


def _marked(snapshot: ops.WatchResponse, room: str) -> ops.WatchResponse:
    """Return what a room told last as something that may no longer be true; its breakers live in it and are gone."""
    note = f"{room} is away"
    sessions: list[ops.SessionStatus] = []
    for session in snapshot.sessions:
        kept = ops.SessionStatus()
        kept.CopyFrom(session)
        kept.state, kept.note, kept.level = "STALLED", note, 0
        sessions.append(kept)
    queues = [ops.QueueStatus(queue=queue.queue, error=note) for queue in snapshot.queues]
    return ops.WatchResponse(sessions=sessions, queues=queues)
