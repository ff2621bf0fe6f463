"""A ledger of connector sessions in memory."""

from collections.abc import Sequence
from datetime import datetime

from kit.errors import Unavailable
from services.connector.sessions.record import Record, State


class MemoryLedger:
    """Keeps records for the life of the test; `states` is every state a session went through, as written down."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.states: list[State] = []
        self.away = False
        """Whether the database is down."""

    async def create(self, record: Record) -> Record:
        """Keep a new session."""
        self._check()
        for there in self.records.values():
            same_request = bool(record.request_id) and there.request_id == record.request_id
            if there.meeting_id == record.meeting_id and (same_request or not there.state.final):
                return there
        self.records[record.session_id] = record
        self.states.append(record.state)
        return record

    async def save(self, record: Record) -> None:
        """Keep what has become of a session."""
        self._check()
        self.records[record.session_id] = record
        if not self.states or self.states[-1] is not record.state:
            self.states.append(record.state)

    async def find(self, tenant_id: str, meeting_id: str) -> Record | None:
        """Return the latest session of a meeting."""
        self._check()
        there = [record for record in self.records.values() if record.meeting_id == meeting_id]
        return max(there, key=lambda record: record.session_id, default=None)

    async def page(self, tenant_id: str, size: int, before: tuple[datetime, str] | None) -> Sequence[Record]:
        """Return sessions, newest first."""
        self._check()
        placed = sorted(((each.create_time, each.session_id), each) for each in self.records.values())
        return [each for place, each in reversed(placed) if before is None or place < before][:size]

    def _check(self) -> None:
        if self.away:
            raise Unavailable("the database is down")
