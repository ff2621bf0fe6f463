"""The tail of a transcript: stored segments, then live ones, each once and in order, whatever was missed in between."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from agent.common.v1 import transcript_pb2 as transcript
from services.ingest.intake.session import MeetingKey
from services.ingest.messages import segment_message
from services.ingest.rows import SegmentRow

_PAGE = 200


class Segments(Protocol):
    """Stored segments."""

    async def segments(self, key: MeetingKey, *, after: int, limit: int) -> Sequence[SegmentRow]:
        """Return those after an ordinal, in order."""


class Tail:
    """Where one reader of a transcript stands; `cursor` is the ordinal of the last segment it has."""

    def __init__(self, store: Segments, key: MeetingKey, cursor: int) -> None:
        self._store = store
        self._key = key
        self.cursor = cursor

    async def stored(self) -> AsyncIterator[transcript.Segment]:
        """Yield what the store has after the cursor."""
        while True:
            rows = await self._store.segments(self._key, after=self.cursor, limit=_PAGE)
            for row in rows:
                self.cursor = row.ordinal
                yield segment_message(row)
            if len(rows) < _PAGE:
                return

    async def live(self, segment: transcript.Segment) -> AsyncIterator[transcript.Segment]:
        """Yield what a live segment brings: nothing if it is known, and all before it if it came early."""
        if segment.ordinal <= self.cursor:
            return
        if segment.ordinal == self.cursor + 1:
            self.cursor = segment.ordinal
            yield segment
            return
        # Two tracks settled at once and told us in the other order. Ordinals are committed in order, so the store
        # has everything up to this one.
        async for each in self.stored():
            yield each
