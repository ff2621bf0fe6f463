"""A ledger of connector sessions in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from kit.errors import Unavailable
from services.connector.sessions.record import Record, SessionTaken, State, Transition, Wish


class MemoryLedger:
    """Keeps records for the life of the test; `states` is every state a session went through, as written down."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.states: list[State] = []
        self.steps: dict[str, list[Transition]] = {}
        self.asked: list[tuple[str, Wish, str]] = []
        self.away = False
        """Whether the database is down."""

    async def create(self, record: Record) -> Record:
        """Keep a new session."""
        self._check()
        for there in self.records.values():
            same_request = bool(record.request_id) and there.request_id == record.request_id
            if there.meeting_id == record.meeting_id and (same_request or not there.state.final):
                return there
        kept = self.records[record.session_id] = replace(record, steps=1)
        self.states.append(record.state)
        self.steps[record.session_id] = [Transition(1, record.create_time, State.IDLE, record.state)]
        return kept

    async def save(self, record: Record, steps: Sequence[Transition] = ()) -> None:
        """Keep what has become of a session."""
        self._check()
        if self.records[record.session_id].epoch != record.epoch:
            raise SessionTaken
        self.records[record.session_id] = record
        self.steps[record.session_id] += steps
        if not self.states or self.states[-1] is not record.state:
            self.states.append(record.state)

    async def release(self, record: Record, steps: Sequence[Transition] = ()) -> None:
        """Keep what has become of a session, and let it be taken."""
        await self.save(replace(record, held=False), steps)

    async def claim(self, record: Record, reason: str) -> Record | None:
        """Take a session up."""
        self._check()
        there = self.records[record.session_id]
        if there.held or there.epoch != record.epoch or there.state.final:
            return None
        steps = self.steps[record.session_id]
        steps.append(Transition(len(steps) + 1, there.update_time, there.state, State.RECONNECTING, reason))
        taken = replace(there, epoch=there.epoch + 1, held=True, state=State.RECONNECTING, steps=len(steps))
        self.records[record.session_id] = taken
        return taken

    async def find(self, tenant_id: str, meeting_id: str) -> Record | None:
        """Return the latest session of a meeting."""
        self._check()
        there = [record for record in self.records.values() if record.meeting_id == meeting_id]
        return max(there, key=lambda record: record.session_id, default=None)

    async def page(
        self,
        tenant_id: str,
        size: int,
        before: tuple[datetime, str] | None,
        *,
        provider: str = "",
        active: bool = False,
    ) -> Sequence[Record]:
        """Return sessions, newest first."""
        self._check()
        placed = sorted(((each.create_time, each.session_id), each) for each in self.records.values())
        return [each for place, each in reversed(placed) if before is None or place < before][:size]

    async def transitions(self, session_ids: Sequence[str], most: int | None) -> Mapping[str, Sequence[Transition]]:
        """Return the steps of sessions, newest first."""
        self._check()
        return {key: self.steps[key][::-1][:most] for key in session_ids if key in self.steps}

    async def stale(self, limit: int, provider: str = "") -> Sequence[Record]:
        """Return sessions that nobody holds."""
        self._check()
        return [each for each in self.records.values() if not each.held and not each.state.final][:limit]

    async def ask(self, record: Record, wish: Wish, reason: str) -> None:
        """Ask for something."""
        self._check()
        self.asked.append((record.session_id, wish, reason))

    async def wishes(self) -> Sequence[tuple[str, Wish, str]]:
        """Take what is asked."""
        self._check()
        asked, self.asked = self.asked, []
        return asked

    def _check(self) -> None:
        if self.away:
            raise Unavailable("the database is down")
