"""What PostgreSQL knows of recordings: which tracks of a meeting are sealed, and where.

Methods raise `kit.db.engine.DatabaseUnavailable` when the database is away.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, select

from kit.db.engine import Database
from services.ingest.erasure.repository import refuse_erased
from services.ingest.intake.session import MeetingKey
from services.ingest.repository import is_meeting
from store.models import audio_sessions, meetings, tracks


@dataclass(frozen=True, slots=True)
class RecordedTrack:
    """A track of an ended session."""

    number: int
    participant_id: str
    start_sample: int
    prefix: str | None
    """Of its blob's key; None until it is sealed."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded of a meeting."""

    state: str
    audio_erase_time: datetime | None
    tracks: Sequence[RecordedTrack]


class RecordingRepository:
    """Reads what was recorded."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recorded(self, key: MeetingKey) -> Recorded:
        """Return the tracks of a meeting, sealed or not.

        Raises:
            MeetingErased: only a tombstone is left.
            MeetingNotFound: there is no such meeting for this tenant.
        """
        async with self._database.connect() as connection:
            meeting = (
                await connection.execute(select(meetings.c.state, meetings.c.audio_erase_time).where(is_meeting(key)))
            ).one_or_none()
            if meeting is None:
                raise await refuse_erased(connection, key)
            rows = await connection.execute(
                select(tracks, audio_sessions.c.sealed_key)
                .join(audio_sessions, audio_sessions.c.id == tracks.c.session_id)
                .where(and_(tracks.c.meeting_id == key.meeting_id, tracks.c.tenant_id == key.tenant_id))
                .order_by(tracks.c.session_id, tracks.c.number)
            )
            found = [RecordedTrack(row.number, row.participant_id, row.start_sample, row.sealed_key) for row in rows]
        return Recorded(meeting.state, meeting.audio_erase_time, found)
