"""Meetings in PostgreSQL as anybody may read and start them; what their owners write is in `live/repository.py`.

Every statement names its tenant.

Methods raise `kit.db.engine.DatabaseUnavailable` when the database is away. Writes bear repetition.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db.engine import Database, DatabaseUnavailable
from kit.queue.queue import enqueue
from kit.queue.wake import notify
from services.ingest.errors import MeetingNotFound, RequestIdReused
from services.ingest.intake.session import MeetingKey
from services.ingest.rows import (
    CoverageRow,
    Documents,
    Finish,
    MeetingRow,
    NewMeeting,
    ParticipantRow,
    SegmentRow,
    Wanted,
    WordRow,
)
from store.models import artifacts, audio_sessions, coverage, meetings, participants, reports, segments

REPORT_QUEUE = "report"
BUILD_REPORT = "build_report"
_FROZEN_MILLISECONDS = 3_000


class IngestRepository:
    """Meetings with their participants, sessions, tracks, segments and coverage."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
                return meeting_row(row)
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
            rows = await connection.execute(select_meetings().where(is_meeting(key)))
            found = await with_participants(connection, rows.all())
        if not found:
            raise MeetingNotFound(key.meeting_id)
        return found[0]

    async def list_meetings(
        self, tenant_id: str, *, state: str, before: tuple[datetime, str] | None, limit: int
    ) -> list[MeetingRow]:
        """Return a tenant's meetings, newest first, older than `before`."""
        statement = select_meetings().where(meetings.c.tenant_id == tenant_id)
        if state:
            statement = statement.where(meetings.c.state == state)
        if before is not None:
            statement = statement.where(tuple_(meetings.c.create_time, meetings.c.id) < before)
        statement = statement.order_by(meetings.c.create_time.desc(), meetings.c.id.desc()).limit(limit)
        async with self._database.connect() as connection:
            return await with_participants(connection, (await connection.execute(statement)).all())

    async def report_state(self, key: MeetingKey) -> tuple[str, str]:
        """Return the states of a meeting and of its report.

        Raises:
            MeetingNotFound: there is none for this tenant.
        """
        async with self._database.connect() as connection:
            row = (
                await connection.execute(select(meetings.c.state, meetings.c.report_state).where(is_meeting(key)))
            ).one_or_none()
        if row is None:
            raise MeetingNotFound(key.meeting_id)
        return row.state, row.report_state

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

    async def last_chunks(self, key: MeetingKey, session_id: str) -> Mapping[str, Mapping[str, Any]]:
        """Return what `ChunkLedger.last_of_each` told of a session that has ended; nothing if it has not."""
        async with self._database.connect() as connection:
            found = await connection.scalar(
                select(audio_sessions.c.last_chunks).where(
                    audio_sessions.c.id == session_row_id(key, session_id),
                    audio_sessions.c.tenant_id == key.tenant_id,
                    audio_sessions.c.state != "open",
                )
            )
        return found or {}

    async def begin_finish(self, key: MeetingKey) -> MeetingRow:
        """Note that a meeting takes no more audio; one that is over already stays as it is.

        Raises:
            MeetingNotFound: there is none for this tenant.
        """
        async with self._database.begin() as connection:
            await connection.execute(
                update(meetings)
                .where(is_meeting(key), meetings.c.state.in_(["scheduled", "live"]))
                .values(state="finishing")
            )
        return await self.meeting(key)

    async def finish_unheard(self, key: MeetingKey) -> None:
        """Finish a meeting in which no session ever began; one that was heard, is finished or gone stays as it is."""
        async with self._database.begin() as connection:
            row = await lock_meeting(connection, key)
            if row is None or row.start_time is not None or row.state == "finished":
                return
            await end_meeting(connection, row, Finish(row.create_time, 0, (), (), ()))
        await wake_reports(self._database)

    async def segments(self, key: MeetingKey, *, after: int = 0, limit: int = 1_000_000) -> list[SegmentRow]:
        """Return a meeting's finals in the order of settling, after an ordinal."""
        async with self._database.connect() as connection:
            rows = await connection.execute(
                select_segments()
                .where(
                    segments.c.meeting_id == key.meeting_id,
                    segments.c.tenant_id == key.tenant_id,
                    segments.c.ordinal > after,
                )
                .order_by(segments.c.ordinal)
                .limit(limit)
            )
            return [segment_row(row) for row in rows]

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


async def end_meeting(connection: AsyncConnection, row: Any, finish: Finish) -> None:
    """Store the account and the end of a meeting and ask for its report if one is wanted, under its row's lock."""
    key = MeetingKey(row.tenant_id, row.id)
    revision = max(row.revision, 1)
    await _store_account(connection, key, finish)
    await connection.execute(
        update(audio_sessions)
        .where(audio_sessions.c.id.in_(finish.session_ids), audio_sessions.c.tenant_id == key.tenant_id)
        .values(state="settled")
    )
    reported = Wanted.of(row.context).report
    if reported:
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
        .where(is_meeting(key))
        .values(
            state="finished",
            report_state="queued" if reported else "none",
            revision=revision,
            duration_ms=finish.duration_ms,
            start_time=func.coalesce(meetings.c.start_time, meetings.c.create_time),
            end_time=finish.end_time,
        )
    )


async def wake_reports(database: Database) -> None:
    """Tell the report room that there is work."""
    with suppress(DatabaseUnavailable):  # then the worker finds the job a second later
        await notify(database, REPORT_QUEUE)


def is_meeting(key: MeetingKey) -> Any:
    """Return the condition on `meetings` that a row is this one."""
    return and_(meetings.c.id == key.meeting_id, meetings.c.tenant_id == key.tenant_id)


async def lock_meeting(connection: AsyncConnection, key: MeetingKey) -> Any:
    """Return a meeting's row, which nobody else changes until the transaction ends; None if there is none.

    A process that is frozen in the middle of it holds the others up for some seconds only: then PostgreSQL ends it.
    """
    patience = func.set_config("idle_in_transaction_session_timeout", str(_FROZEN_MILLISECONDS), True)
    # Not a lock on its key: rows that refer to the meeting need not wait.
    statement = select(meetings, patience).where(is_meeting(key)).with_for_update(key_share=True)
    return (await connection.execute(statement)).one_or_none()


def select_meetings() -> Any:
    """Return meetings with the number of their finals."""
    count = (
        select(func.coalesce(func.max(segments.c.ordinal), 0))
        .where(segments.c.meeting_id == meetings.c.id)
        .scalar_subquery()
    )
    return select(meetings, count.label("segments_count"))


def select_segments() -> Any:
    """Return finals with their speaker's name."""
    named = and_(participants.c.meeting_id == segments.c.meeting_id, participants.c.id == segments.c.participant_id)
    return select(segments, participants.c.display_name).outerjoin(participants, named)


async def stored_segment(connection: AsyncConnection, row_id: str, number: int, start_sample: int) -> SegmentRow:
    """Return a final that is in the store."""
    rows = await connection.execute(
        select_segments().where(
            segments.c.session_id == row_id,
            segments.c.track_number == number,
            segments.c.start_sample == start_sample,
        )
    )
    return segment_row(rows.one())


async def with_participants(connection: AsyncConnection, rows: Sequence[Any]) -> list[MeetingRow]:
    """Return meetings with everyone who takes part."""
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
    return [meeting_row(row, row.segments_count, voices.get(row.id, ())) for row in rows]


def meeting_row(row: Any, count: int = 0, voices: Sequence[ParticipantRow] = ()) -> MeetingRow:
    """Return a meeting as a value."""
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


def segment_row(row: Any) -> SegmentRow:
    """Return a final as a value."""
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
