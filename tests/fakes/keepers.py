"""What keeps sessions in order, in memory: breakers, operations and notices beside a ledger."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial

import grpc

from kit.clock import now
from services.connector.breakers.breaker import Breaker, BreakerChange
from services.connector.breakers.breakers import Breakers
from services.connector.notices.notice import Call, Notice
from services.connector.operations import Operations
from services.connector.sessions.record import Ledger
from services.connector.sessions.sessions import Keepers
from services.connector.uplink.chunks import ChunkUplink


class MemoryBreakers:
    """Keeps breakers for the life of the test."""

    def __init__(self) -> None:
        self.breakers: dict[tuple[str, str], Breaker] = {}
        self.changes: list[tuple[str, BreakerChange]] = []
        self.moment: Callable[[], datetime] = now

    async def change(self, name: str, base: str, rule: Callable[[Breaker, datetime], Breaker], reason: str) -> Breaker:
        """Apply a rule."""
        moment = self.moment()
        before = self.breakers.get((name, base), Breaker(name, base, moment))
        after = self.breakers[name, base] = rule(before, moment)
        if after.state is not before.state:
            self.changes.append((name, BreakerChange(moment, after.state, reason)))
        return after

    async def succeeded(self, name: str, base: str) -> None:
        """Close a breaker that counted failures."""
        if (name, base) in self.breakers:
            await self.change(name, base, lambda breaker, moment: breaker.closed(moment), "probe")

    async def all(self, name: str = "") -> Sequence[Breaker]:
        """Return the breakers."""
        return [breaker for key, breaker in self.breakers.items() if name in ("", key[0])]

    async def history(self, name: str) -> Sequence[BreakerChange]:
        """Return the changes, newest first."""
        return [change for key, change in reversed(self.changes) if key == name]

    async def now(self) -> datetime:
        """Return the present moment."""
        return self.moment()


class MemoryOperations:
    """Keeps locks for the life of the test."""

    def __init__(self) -> None:
        self.under_way: dict[str, tuple[str, str]] = {}

    async def begin(self, meeting_id: str, operation: str, holder: str, seconds: float) -> str:
        """Begin an operation, unless one is under way."""
        there = self.under_way.setdefault(meeting_id, (operation, holder))
        return "" if there[1] == holder else there[0]

    async def end(self, meeting_id: str, holder: str) -> None:
        """End an operation."""
        if self.under_way.get(meeting_id, ("", ""))[1] == holder:
            del self.under_way[meeting_id]


class MemoryNotices:
    """Keeps notices for the life of the test."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Notice] = {}

    async def keep(self, call: Call, notices: Sequence[Notice]) -> None:
        """Keep what became of participants."""
        self.kept |= {(call.session_id, notice.participant_id): notice for notice in notices}

    async def of_session(self, tenant_id: str, session_id: str) -> Sequence[Notice]:
        """Return the notices of a session."""
        return [notice for key, notice in self.kept.items() if key[0] == session_id]

    async def withdrawals(self, session_ids: Collection[str]) -> Sequence[tuple[str, Notice]]:
        """Return who withdrew in sessions."""
        return [(key[0], notice) for key, notice in self.kept.items() if key[0] in session_ids and notice.withdrawn]

    async def withdrawn(self, tenant_id: str, meeting_id: str) -> frozenset[str]:
        """Return who withdrew."""
        return frozenset(notice.participant_id for notice in self.kept.values() if notice.withdrawn)


def memory_keepers(ledger: Ledger, channel: grpc.aio.Channel) -> Keepers:
    """Return keepers in memory around a ledger."""
    return Keepers(
        ledger=ledger,
        breakers=Breakers(MemoryBreakers()),
        operations=Operations(MemoryOperations(), 60.0),
        notices=MemoryNotices(),
        chunks=partial(ChunkUplink, channel),
    )
