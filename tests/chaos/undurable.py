"""`python -m tests.chaos.undurable`: the ingest room without its promises, to show that their absence is found.

CHAOS_WITHOUT=audio: audio is acknowledged before it is written. CHAOS_WITHOUT=text: a final and its track's cursor are
stored one after the other.
"""

import asyncio
import os

from kit.lifecycle import leave, run
from services.ingest import app
from services.ingest.intake import session
from services.ingest.intake.session import Session
from services.ingest.intake.track import Track
from services.ingest.journal.journal import Journal
from services.ingest.journal.record import Record
from services.ingest.live.repository import LiveRepository
from services.ingest.rows import NewSegment, SegmentRow, Tenure

_BETWEEN_SECONDS = 1.0


class HastyJournal(Journal):
    """Says that a message is durable as soon as it is in memory."""

    def append(self, record: Record) -> int:
        offset = super().append(record)
        self._pulse.beat()
        return offset

    @property
    def durable_sequence(self) -> int:
        """The last message taken, on disk or not."""
        return self._last_sequence

    @durable_sequence.setter
    def durable_sequence(self, sequence: int) -> None:
        """What the disk says does not count."""

    async def durable(self, offset: int) -> None:
        """Wait for nothing."""


class TornRepository(LiveRepository):
    """Moves the cursor first, and stores the final a moment later."""

    async def settle(self, tenure: Tenure, session: Session, track: Track, new: NewSegment) -> SegmentRow:
        await self.move_cursor(tenure, session, track, new.decided_sample)
        await asyncio.sleep(_BETWEEN_SECONDS)
        return await super().settle(tenure, session, track, new)


if __name__ == "__main__":
    if os.environ["CHAOS_WITHOUT"] == "audio":
        vars(session)["Journal"] = HastyJournal
    else:
        vars(app)["LiveRepository"] = TornRepository
    leave(run(app.ROOM, app.main))
