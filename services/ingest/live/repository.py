"""What the owner of a meeting writes while it is live, each write under the meeting's row lock and on its tenure.

A write raises `Fenced` when the meeting was taken up again since, here or elsewhere, and `MeetingNotFound` when it is
gone; nothing is written then. All raise `kit.db.engine.DatabaseUnavailable` when the database is away, and all bear
repetition.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.clock import now
from kit.db.engine import Database
from kit.ids import new_id
from services.ingest.errors import Fenced, MeetingFinished, MeetingNotFound
from services.ingest.intake.session import MeetingKey, Session
from services.ingest.intake.track import Track
from services.ingest.repository import (
    end_meeting,
    is_meeting,
    lock_meeting,
    meeting_row,
    select_meetings,
    session_row_id,
    stored_segment,
    wake_reports,
    with_participants,
)
from services.ingest.rows import Finish, MeetingRow, NewSegment, SegmentRow, Tenure, TrackProgress
from services.ingest.timeline import milliseconds_of
from store.models import audio_sessions, meetings, participants, segments, tombstones, tracks


class LiveRepository:
    """Sessions, tracks, segments and the end of a meeting that is live here."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, tenure: Tenure) -> MeetingRow:
        """Let a tenure begin; every earlier one is over. Returns the meeting with its participants.

        Raises:
            MeetingNotFound: there is no such meeting for this tenant.
            Fenced: it is another replica's, or was taken up again since.
        """
        key = tenure.key
        async with self._database.begin() as connection:
            row = await _locked(connection, key)
            if row.owner not in ("", tenure.owner) or row.epoch > tenure.epoch:
                raise Fenced(key.meeting_id)
            await connection.execute(
                update(meetings).where(is_meeting(key)).values(owner=tenure.owner, epoch=tenure.epoch)
            )
            rows = await connection.execute(select_meetings().where(is_meeting(key)))
            return (await with_participants(connection, rows.all()))[0]

    async def release(self, tenure: Tenure) -> None:
        """Leave a meeting to whoever wants it; one that is not ours or gone stays as it is."""
        async with self._database.begin() as connection:
            await connection.execute(
                update(meetings)
                .where(is_meeting(tenure.key))
                .where(meetings.c.owner == tenure.owner, meetings.c.epoch == tenure.epoch)
                .values(owner="")
            )

    async def erased(self, key: MeetingKey) -> bool:
        """Return whether a meeting that is gone was erased."""
        async with self._database.connect() as connection:
            found = await connection.scalar(
                select(tombstones.c.meeting_id).where(
                    tombstones.c.meeting_id == key.meeting_id, tombstones.c.tenant_id == key.tenant_id
                )
            )
        return found is not None

    async def open_session(self, tenure: Tenure, session_id: str, start_time: datetime) -> MeetingRow:
        """Note that a session of a meeting begins; returns the meeting, which is live now.

        Raises:
            MeetingFinished: it takes no more audio.
        """
        key = tenure.key
        async with self._held(tenure) as (connection, row):
            if meeting_row(row).over:
                raise MeetingFinished(key.meeting_id)
            await connection.execute(
                insert(audio_sessions)
                .values(
                    id=session_row_id(key, session_id),
                    meeting_id=key.meeting_id,
                    tenant_id=key.tenant_id,
                    start_time=start_time,
                )
                .on_conflict_do_nothing(index_elements=[audio_sessions.c.id])
            )
            live = (
                await connection.execute(
                    update(meetings)
                    .where(is_meeting(key))
                    .values(state="live", start_time=func.coalesce(meetings.c.start_time, start_time))
                    .returning(meetings)
                )
            ).one()
        return meeting_row(live)

    async def introduce(self, tenure: Tenure, session: Session, track: Track) -> None:
        """Store a track and the participant on it, as they are now."""
        key = tenure.key
        about = {"display_name": track.display_name, "basis": track.basis, "language": track.language}
        left = None if track.end_sample is None else milliseconds_of(track.end_sample)
        joined = milliseconds_of(track.start_sample)
        async with self._held(tenure) as (connection, _):
            new = insert(participants).values(
                meeting_id=key.meeting_id,
                id=track.participant_id,
                tenant_id=key.tenant_id,
                joined_ms=joined,
                left_ms=left,
                **about,
            )
            await connection.execute(
                new.on_conflict_do_update(
                    index_elements=[participants.c.meeting_id, participants.c.id],
                    set_={**about, "joined_ms": func.least(participants.c.joined_ms, joined), "left_ms": left},
                )
            )
            await connection.execute(
                insert(tracks)
                .values(
                    session_id=session_row_id(key, session.session_id),
                    number=track.number,
                    meeting_id=key.meeting_id,
                    tenant_id=key.tenant_id,
                    participant_id=track.participant_id,
                    start_sample=track.start_sample,
                    cursor_sample=track.start_sample,
                    end_sample=track.end_sample,
                )
                .on_conflict_do_update(
                    index_elements=[tracks.c.session_id, tracks.c.number], set_={"end_sample": track.end_sample}
                )
            )

    async def progress(self, key: MeetingKey, session_id: str) -> Mapping[int, TrackProgress]:
        """Return how far the tracks of a session have become text, by number."""
        row_id = session_row_id(key, session_id)
        words = func.jsonb_array_length(segments.c.words).label("words_count")
        async with self._database.connect() as connection:
            cursors = await connection.execute(
                select(tracks.c.number, tracks.c.cursor_sample, tracks.c.pinned_language).where(
                    tracks.c.session_id == row_id, tracks.c.tenant_id == key.tenant_id
                )
            )
            finals = await connection.execute(
                select(segments.c.track_number, segments.c.start_sample, segments.c.end_sample, words)
                .where(segments.c.session_id == row_id, segments.c.tenant_id == key.tenant_id)
                .order_by(segments.c.start_sample)
            )
            said: dict[int, list[tuple[int, int, int]]] = {}
            for final in finals:
                said.setdefault(final.track_number, []).append(
                    (final.start_sample, final.end_sample, final.words_count)
                )
            return {
                row.number: TrackProgress(row.cursor_sample, said.get(row.number, []), row.pinned_language)
                for row in cursors
            }

    async def settle(self, tenure: Tenure, session: Session, track: Track, new: NewSegment) -> SegmentRow:
        """Store a final, its track's cursor and the language it pinned in one transaction.

        Ordinals are given under the meeting's row lock, so they have no holes and show in order. A final that is
        there already changes nothing but the cursor.

        Returns:
            The segment as it stands in the store, now or from before.
        """
        key = tenure.key
        row_id = session_row_id(key, session.session_id)
        words = [
            {"text": word.text, "start_ms": word.start_ms, "end_ms": word.end_ms, "confidence": word.confidence}
            for word in new.words
        ]
        async with self._held(tenure) as (connection, _):
            last = await connection.scalar(
                select(func.max(segments.c.ordinal)).where(segments.c.meeting_id == key.meeting_id)
            )
            segment = SegmentRow(
                segment_id=new_id(),
                meeting_id=key.meeting_id,
                ordinal=(last or 0) + 1,
                participant_id=new.participant_id,
                speaker=new.speaker,
                start_ms=milliseconds_of(new.start_sample),
                end_ms=milliseconds_of(new.end_sample),
                text=new.text,
                words=new.words,
                language=new.language,
                confidence=new.confidence,
                engine=new.engine,
                model=new.model,
            )
            stored = await connection.scalar(
                insert(segments)
                .values(
                    id=segment.segment_id,
                    meeting_id=key.meeting_id,
                    tenant_id=key.tenant_id,
                    ordinal=segment.ordinal,
                    participant_id=segment.participant_id,
                    session_id=row_id,
                    track_number=track.number,
                    start_sample=new.start_sample,
                    end_sample=new.end_sample,
                    start_ms=segment.start_ms,
                    end_ms=segment.end_ms,
                    text=segment.text,
                    words=words,
                    language=segment.language,
                    confidence=segment.confidence,
                    engine=segment.engine,
                    model=segment.model,
                )
                .on_conflict_do_nothing(
                    index_elements=[segments.c.session_id, segments.c.track_number, segments.c.start_sample]
                )
                .returning(segments.c.id)
            )
            if stored is None:
                segment = await stored_segment(connection, row_id, track.number, new.start_sample)
            elif new.cost_usd:
                await _charge(connection, key, new.cost_usd)
            await _move_cursor(connection, row_id, track, new.decided_sample, new.engine)
        return segment

    async def move_cursor(
        self, tenure: Tenure, session: Session, track: Track, sample: int, *, cost_usd: float = 0.0
    ) -> None:
        """Store that everything of a track before `sample` is decided, and what no final has told of the bill."""
        async with self._held(tenure) as (connection, _):
            if cost_usd:
                await _charge(connection, tenure.key, cost_usd)
            await _move_cursor(connection, session_row_id(tenure.key, session.session_id), track, sample, "")

    async def end_session(self, tenure: Tenure, session: Session) -> None:
        """Note that nothing more will come in a session."""
        async with self._held(tenure) as (connection, _):
            await connection.execute(
                update(audio_sessions)
                .where(audio_sessions.c.id == session_row_id(tenure.key, session.session_id))
                .where(audio_sessions.c.state == "open")
                .values(
                    state="ended",
                    next_sequence=session.next_sequence,
                    end_time=now(),
                    epoch=session.epoch,
                    last_chunks=session.chunks.last_of_each(),
                )
            )

    async def begin_finish(self, tenure: Tenure) -> MeetingRow:
        """Note that a meeting takes no more audio; one that is over already stays as it is."""
        async with self._held(tenure) as (connection, _):
            await connection.execute(
                update(meetings)
                .where(is_meeting(tenure.key), meetings.c.state.in_(["scheduled", "live"]))
                .values(state="finishing")
            )
            rows = await connection.execute(select_meetings().where(is_meeting(tenure.key)))
            return (await with_participants(connection, rows.all()))[0]

    async def finish(self, tenure: Tenure, finish: Finish) -> None:
        """Store the account and the end of a meeting and ask for its report, in one transaction.

        A meeting that is finished already stays as it is.
        """
        async with self._held(tenure) as (connection, row):
            if row.state == "finished":
                return
            await end_meeting(connection, row, finish)
        await wake_reports(self._database)

    async def sealed(self, tenure: Tenure, session_id: str, blob_prefix: str) -> None:
        """Note where the sealed tracks of a session are."""
        async with self._held(tenure) as (connection, _):
            await connection.execute(
                update(audio_sessions)
                .where(audio_sessions.c.id == session_row_id(tenure.key, session_id))
                .values(sealed_key=blob_prefix)
            )

    @asynccontextmanager
    async def _held(self, tenure: Tenure) -> AsyncIterator[tuple[AsyncConnection, Any]]:
        """Run the block in a transaction in which nobody can take the meeting up; yields the meeting's row too."""
        async with self._database.begin() as connection:
            row = await _locked(connection, tenure.key)
            if (row.owner, row.epoch) != (tenure.owner, tenure.epoch):
                raise Fenced(tenure.key.meeting_id)
            yield connection, row


async def _locked(connection: AsyncConnection, key: MeetingKey) -> Any:
    row = await lock_meeting(connection, key)
    if row is None:
        raise MeetingNotFound(key.meeting_id)
    return row


async def _charge(connection: AsyncConnection, key: MeetingKey, cost_usd: float) -> None:
    bill = meetings.c.speech_cost_usd + cost_usd
    await connection.execute(update(meetings).where(is_meeting(key)).values(speech_cost_usd=bill))


async def _move_cursor(connection: AsyncConnection, row_id: str, track: Track, sample: int, engine: str) -> None:
    values: dict[str, Any] = {"cursor_sample": func.greatest(tracks.c.cursor_sample, sample)}
    if engine:
        values["speech_engine"] = engine
    if track.pinned_language:
        values["pinned_language"] = track.pinned_language
    await connection.execute(
        update(tracks).where(tracks.c.session_id == row_id, tracks.c.number == track.number).values(values)
    )
