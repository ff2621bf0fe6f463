"""What the ingest room reads and writes in PostgreSQL; every statement names its tenant.

Methods raise `kit.db.engine.DatabaseUnavailable` when the database is away. Writes bear repetition.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.clock import now
from kit.db.engine import Database, DatabaseUnavailable
from kit.ids import new_id
from kit.queue.queue import enqueue
from kit.queue.wake import notify
from services.ingest.errors import MeetingFinished, MeetingNotFound, RequestIdReused
from services.ingest.rows import (
    CoverageRow,
    Documents,
    Finish,
    MeetingRow,
    NewMeeting,
    NewSegment,
    ParticipantRow,
    SegmentRow,
    TrackProgress,
    WordRow,
)
from services.ingest.session import MeetingKey, Session
from services.ingest.timeline import milliseconds_of
from services.ingest.track import Track
from store.models import artifacts, audio_sessions, coverage, meetings, participants, reports, segments, tracks

REPORT_QUEUE = "report"
BUILD_REPORT = "build_report"


class IngestRepository:
    """Meetings with their participants, sessions, tracks, segments and coverage."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    async def ping(self) -> None:
        """Ask the database for a sign of life."""
        await self._database.ping()

    async def create_meeting(self, new: NewMeeting) -> MeetingRow:
        """Store a meeting; the same request_id gives the same meeting.

        Raises:
            RequestIdReused: the request_id came before, with another request.
        """
        values = {
            "id": new.meeting_id,
            "tenant_id": new.tenant_id,
            "title": new.title,
            "mode": new.mode,
            "state": "scheduled",
            "language": new.language,
            "provider": new.provider,
            "provider_ref": new.provider_ref,
            "context": dict(new.context),
            "request_id": new.request_id or None,
            "created_by": new.created_by,
        }
        statement = insert(meetings).values(values)
        if new.request_id:
            statement = statement.on_conflict_do_nothing(
                index_elements=[meetings.c.tenant_id, meetings.c.request_id],
                index_where=meetings.c.request_id.is_not(None),
            )
        async with self._database.begin() as connection:
            row = (await connection.execute(statement.returning(meetings))).one_or_none()
            if row is not None:
                return _meeting(row)
            row = (
                await connection.execute(
                    select(meetings).where(
                        meetings.c.tenant_id == new.tenant_id, meetings.c.request_id == new.request_id
                    )
                )
            ).one()
        same = ("title", "mode", "language", "provider", "provider_ref", "context")
        if any(row._mapping[name] != values[name] for name in same):
            raise RequestIdReused(new.request_id)
        return await self.meeting(MeetingKey(new.tenant_id, row.id))

    async def meeting(self, key: MeetingKey) -> MeetingRow:
        """Return a meeting with its participants.

        Raises:
            MeetingNotFound: there is none for this tenant.
        """
        async with self._database.connect() as connection:
            rows = await connection.execute(_meetings().where(_is(key)))
            found = await _with_participants(connection, rows.all())
        if not found:
            raise MeetingNotFound(key.meeting_id)
        return found[0]

    async def list_meetings(
        self, tenant_id: str, *, state: str, before: tuple[datetime, str] | None, limit: int
    ) -> list[MeetingRow]:
        """Return a tenant's meetings, newest first, older than `before`."""
        statement = _meetings().where(meetings.c.tenant_id == tenant_id)
        if state:
            statement = statement.where(meetings.c.state == state)
        if before is not None:
            statement = statement.where(tuple_(meetings.c.create_time, meetings.c.id) < before)
        statement = statement.order_by(meetings.c.create_time.desc(), meetings.c.id.desc()).limit(limit)
        async with self._database.connect() as connection:
            return await _with_participants(connection, (await connection.execute(statement)).all())

    async def report_state(self, key: MeetingKey) -> tuple[str, str]:
        """Return the states of a meeting and of its report.

        Raises:
            MeetingNotFound: there is none for this tenant.
        """
        async with self._database.connect() as connection:
            row = (
                await connection.execute(select(meetings.c.state, meetings.c.report_state).where(_is(key)))
            ).one_or_none()
        if row is None:
            raise MeetingNotFound(key.meeting_id)
        return row.state, row.report_state

    async def open_session(self, key: MeetingKey, session_id: str, start_time: datetime) -> MeetingRow:
        """Note that a session of a meeting begins; returns the meeting, which is live now.

        Raises:
            MeetingNotFound: there is no such meeting for this tenant.
            MeetingFinished: it takes no more audio.
        """
        async with self._database.begin() as connection:
            row = (await connection.execute(select(meetings).where(_is(key)).with_for_update())).one_or_none()
            if row is None:
                raise MeetingNotFound(key.meeting_id)
            if _meeting(row).over:
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
                    .where(_is(key))
                    .values(state="live", start_time=func.coalesce(meetings.c.start_time, start_time))
                    .returning(meetings)
                )
            ).one()
        return _meeting(live)

    async def introduce(self, session: Session, track: Track) -> None:
        """Store a track and the participant on it, as they are now."""
        key = session.key
        about = {"display_name": track.display_name, "basis": track.basis, "language": track.language}
        left = None if track.end_sample is None else milliseconds_of(track.end_sample)
        joined = milliseconds_of(track.start_sample)
        async with self._database.begin() as connection:
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
                select(tracks.c.number, tracks.c.cursor_sample).where(
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
            return {row.number: TrackProgress(row.cursor_sample, said.get(row.number, [])) for row in cursors}

    async def settle(self, session: Session, track: Track, new: NewSegment) -> SegmentRow | None:
        """Store a final and its track's cursor in one transaction.

        Ordinals are given under the meeting's row lock, so they have no holes and show in order. A final that is
        there already changes nothing but the cursor.

        Returns:
            The segment as it stands in the store, now or from before; None if the meeting is gone.
        """
        key = session.key
        row_id = session_row_id(key, session.session_id)
        words = [
            {"text": word.text, "start_ms": word.start_ms, "end_ms": word.end_ms, "confidence": word.confidence}
            for word in new.words
        ]
        async with self._database.begin() as connection:
            there = await connection.scalar(select(meetings.c.id).where(_is(key)).with_for_update())
            if there is None:
                return None
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
                segment = await _stored(connection, row_id, track.number, new.start_sample)
            await _move_cursor(connection, row_id, track.number, new.decided_sample, new.engine)
        return segment

    async def move_cursor(self, session: Session, track: Track, sample: int) -> None:
        """Store that everything of a track before `sample` is decided."""
        async with self._database.begin() as connection:
            await _move_cursor(connection, session_row_id(session.key, session.session_id), track.number, sample, "")

    async def end_session(self, session: Session) -> None:
        """Note that nothing more will come in a session."""
        async with self._database.begin() as connection:
            await connection.execute(
                update(audio_sessions)
                .where(audio_sessions.c.id == session_row_id(session.key, session.session_id))
                .where(audio_sessions.c.state == "open")
                .values(state="ended", next_sequence=session.next_sequence, end_time=now(), epoch=session.epoch)
            )

    async def ended_session(self, key: MeetingKey, session_id: str) -> int | None:
        """Return the sequence after the last of a session that has ended; None if it has not or never was."""
        async with self._database.connect() as connection:
            found: int | None = await connection.scalar(
                select(audio_sessions.c.next_sequence).where(
                    audio_sessions.c.id == session_row_id(key, session_id),
                    audio_sessions.c.tenant_id == key.tenant_id,
                    audio_sessions.c.state != "open",
                )
            )
        return found

    async def sealed(self, key: MeetingKey, session_id: str, blob_prefix: str) -> None:
        """Note where the sealed tracks of a session are."""
        async with self._database.begin() as connection:
            await connection.execute(
                update(audio_sessions)
                .where(audio_sessions.c.id == session_row_id(key, session_id))
                .values(sealed_key=blob_prefix)
            )

    async def begin_finish(self, key: MeetingKey) -> MeetingRow:
        """Note that a meeting takes no more audio; one that is over already stays as it is.

        Raises:
            MeetingNotFound: there is none for this tenant.
        """
        async with self._database.begin() as connection:
            await connection.execute(
                update(meetings).where(_is(key), meetings.c.state.in_(["scheduled", "live"])).values(state="finishing")
            )
        return await self.meeting(key)

    async def finish(self, key: MeetingKey, finish: Finish) -> None:
        """Store the account and the end of a meeting and ask for its report, in one transaction.

        A meeting that is finished already, or gone, stays as it is.
        """
        async with self._database.begin() as connection:
            row = (await connection.execute(select(meetings).where(_is(key)).with_for_update())).one_or_none()
            if row is None or row.state == "finished":
                return
            revision = max(row.revision, 1)
            await _store_account(connection, key, finish)
            await connection.execute(
                update(audio_sessions)
                .where(audio_sessions.c.id.in_(finish.session_ids), audio_sessions.c.tenant_id == key.tenant_id)
                .values(state="settled")
            )
            await enqueue(
                connection,
                REPORT_QUEUE,
                BUILD_REPORT,
                {"meeting_id": key.meeting_id, "tenant_id": key.tenant_id, "revision": revision},
                tenant_id=key.tenant_id,
                key=key.meeting_id,
                dedupe=f"{BUILD_REPORT}/{key.meeting_id}/{revision}",
            )
            await connection.execute(
                update(meetings)
                .where(_is(key))
                .values(
                    state="finished",
                    report_state="queued",
                    revision=revision,
                    duration_ms=finish.duration_ms,
                    start_time=func.coalesce(meetings.c.start_time, meetings.c.create_time),
                    end_time=finish.end_time,
                )
            )
        with suppress(DatabaseUnavailable):  # then the worker finds the job a second later
            await notify(self._database, REPORT_QUEUE)

    async def segments(self, key: MeetingKey, *, after: int = 0, limit: int = 1_000_000) -> list[SegmentRow]:
        """Return a meeting's finals in the order of settling, after an ordinal."""
        async with self._database.connect() as connection:
            rows = await connection.execute(
                _segments()
                .where(
                    segments.c.meeting_id == key.meeting_id,
                    segments.c.tenant_id == key.tenant_id,
                    segments.c.ordinal > after,
                )
                .order_by(segments.c.ordinal)
                .limit(limit)
            )
            return [_segment(row) for row in rows]

    async def coverage(self, key: MeetingKey) -> list[CoverageRow]:
        """Return a finished meeting's account."""
        async with self._database.connect() as connection:
            rows = await connection.execute(
                select(coverage)
                .where(coverage.c.meeting_id == key.meeting_id, coverage.c.tenant_id == key.tenant_id)
                .order_by(coverage.c.participant_id, coverage.c.start_ms)
            )
            return [CoverageRow(row.participant_id, row.start_ms, row.end_ms, row.kind) for row in rows]

    async def documents(self, key: MeetingKey) -> Documents:
        """Return what the report room made of a meeting, newest revision first."""
        async with self._database.connect() as connection:
            clean = await connection.scalar(
                select(artifacts.c.blob_key)
                .where(
                    artifacts.c.meeting_id == key.meeting_id,
                    artifacts.c.tenant_id == key.tenant_id,
                    artifacts.c.kind == "clean",
                    artifacts.c.format == "txt",
                )
                .order_by(artifacts.c.revision.desc())
                .limit(1)
            )
            report = await connection.scalar(
                select(reports.c.body)
                .where(reports.c.meeting_id == key.meeting_id, reports.c.tenant_id == key.tenant_id)
                .order_by(reports.c.revision.desc())
                .limit(1)
            )
        return Documents(clean, report)


def session_row_id(key: MeetingKey, session_id: str) -> str:
    """Return the id of a session's row: clients choose theirs, so they are unique within a meeting only."""
    return f"{key.meeting_id}/{session_id}"


def _is(key: MeetingKey) -> Any:
    return and_(meetings.c.id == key.meeting_id, meetings.c.tenant_id == key.tenant_id)


def _meetings() -> Any:
    count = (
        select(func.coalesce(func.max(segments.c.ordinal), 0))
        .where(segments.c.meeting_id == meetings.c.id)
        .scalar_subquery()
    )
    return select(meetings, count.label("segments_count"))


def _segments() -> Any:
    named = and_(participants.c.meeting_id == segments.c.meeting_id, participants.c.id == segments.c.participant_id)
    return select(segments, participants.c.display_name).outerjoin(participants, named)


async def _stored(connection: AsyncConnection, row_id: str, number: int, start_sample: int) -> SegmentRow:
    rows = await connection.execute(
        _segments().where(
            segments.c.session_id == row_id,
            segments.c.track_number == number,
            segments.c.start_sample == start_sample,
        )
    )
    return _segment(rows.one())


async def _with_participants(connection: AsyncConnection, rows: Sequence[Any]) -> list[MeetingRow]:
    voices: dict[str, list[ParticipantRow]] = {}
    if rows:
        found = await connection.execute(
            select(participants)
            .where(participants.c.meeting_id.in_([row.id for row in rows]))
            .order_by(participants.c.joined_ms, participants.c.id)
        )
        for voice in found:
            voices.setdefault(voice.meeting_id, []).append(
                ParticipantRow(
                    participant_id=voice.id,
                    display_name=voice.display_name,
                    basis=voice.basis,
                    language=voice.language,
                    joined_ms=voice.joined_ms,
                    left_ms=voice.left_ms,
                )
            )
    return [_meeting(row, row.segments_count, voices.get(row.id, ())) for row in rows]


def _meeting(row: Any, count: int = 0, voices: Sequence[ParticipantRow] = ()) -> MeetingRow:
    return MeetingRow(
        meeting_id=row.id,
        tenant_id=row.tenant_id,
        title=row.title,
        mode=row.mode,
        state=row.state,
        language=row.language,
        provider=row.provider,
        provider_ref=row.provider_ref,
        context=row.context,
        create_time=row.create_time,
        start_time=row.start_time,
        end_time=row.end_time,
        duration_ms=row.duration_ms,
        revision=row.revision,
        report_state=row.report_state,
        segments=count,
        participants=voices,
    )


def _segment(row: Any) -> SegmentRow:
    return SegmentRow(
        segment_id=row.id,
        meeting_id=row.meeting_id,
        ordinal=row.ordinal,
        participant_id=row.participant_id,
        speaker=row.display_name or row.participant_id,
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        text=row.text,
        words=[WordRow(word["text"], word["start_ms"], word["end_ms"], word["confidence"]) for word in row.words],
        language=row.language,
        confidence=row.confidence,
        engine=row.engine,
        model=row.model,
    )


async def _move_cursor(connection: AsyncConnection, row_id: str, number: int, sample: int, engine: str) -> None:
    values: dict[str, Any] = {"cursor_sample": func.greatest(tracks.c.cursor_sample, sample)}
    if engine:
        values["speech_engine"] = engine
    await connection.execute(
        update(tracks).where(tracks.c.session_id == row_id, tracks.c.number == number).values(values)
    )


async def _store_account(connection: AsyncConnection, key: MeetingKey, finish: Finish) -> None:
    for voice in finish.participants:
        await connection.execute(
            update(participants)
            .where(participants.c.meeting_id == key.meeting_id, participants.c.id == voice.participant_id)
            .values(joined_ms=voice.joined_ms, left_ms=voice.left_ms)
        )
    await connection.execute(coverage.delete().where(coverage.c.meeting_id == key.meeting_id))
    if finish.coverage:
        await connection.execute(
            coverage.insert(),
            [
                {
                    "meeting_id": key.meeting_id,
                    "tenant_id": key.tenant_id,
                    "participant_id": row.participant_id,
                    "start_ms": row.start_ms,
                    "end_ms": row.end_ms,
                    "kind": row.kind,
                }
                for row in finish.coverage
            ],
        )
