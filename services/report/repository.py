"""What the report room reads and writes in PostgreSQL; every statement names its tenant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db.engine import Database, DatabaseUnavailable
from kit.queue.job import QueueStats
from kit.queue.queue import enqueue, read_stats
from kit.queue.wake import notify
from services.report.document import CoverageTotals, ParticipantCoverage
from services.report.errors import MeetingNotEnded, MeetingNotFound, ReportNotReady, RequestIdReused
from services.report.transcript import Segment, Transcript, Word
from store.models import artifacts, coverage, idempotency_keys, meetings, participants, reports, segments

QUEUE = "report"
BUILD = "build_report"
_MODES = ("interview", "meeting", "call")
_ENDED = ("finished", "finishing")


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """One file of a meeting and where its bytes lie."""

    kind: str
    fmt: str
    revision: int
    content_type: str
    blob_key: str
    size_bytes: int
    create_time: datetime


class ReportRepository:
    """Meetings, their text and coverage; reports and artifacts."""

    def __init__(self, database: Database, zone: tzinfo) -> None:
        self._database = database
        self._zone = zone

    async def transcript(self, tenant_id: str, meeting_id: str) -> Transcript:
        """The meeting's text and coverage as they are at one moment.

        Raises:
            MeetingNotFound: there is no such meeting for this tenant.
            DatabaseUnavailable: the database is away.
        """
        async with self._database.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            meeting = await _meeting(connection, tenant_id, meeting_id)
            names = dict(await _roster(connection, tenant_id, meeting_id))
            said = await connection.execute(
                select(segments)
                .where(segments.c.meeting_id == meeting_id, segments.c.tenant_id == tenant_id)
                .order_by(segments.c.ordinal)
            )
            held = (meeting.start_time or meeting.create_time).astimezone(self._zone)
            return Transcript(
                meeting_id=meeting_id,
                revision=meeting.revision,
                segments=tuple(_segment(row, names) for row in said),
                held_on=held.date(),
                title=meeting.title,
                mode=meeting.context.get("mode") if meeting.context.get("mode") in _MODES else _MODES[0],
                language=meeting.language,
                length_ms=meeting.duration_ms,
                coverage=await _coverage(connection, tenant_id, meeting_id, names),
            )

    async def roster(self, tenant_id: str, meeting_id: str) -> list[tuple[str, str]]:
        """Identifier and display name of the meeting's participants."""
        async with self._database.connect() as connection:
            return await _roster(connection, tenant_id, meeting_id)

    async def report(self, tenant_id: str, meeting_id: str) -> dict[str, Any]:
        """The newest report, as protobuf JSON.

        Raises:
            MeetingNotFound: there is no such meeting for this tenant.
            ReportNotReady: no report was built yet.
        """
        async with self._database.connect() as connection:
            meeting = await _meeting(connection, tenant_id, meeting_id)
            body: dict[str, Any] | None = await connection.scalar(
                select(reports.c.body)
                .where(reports.c.meeting_id == meeting_id, reports.c.tenant_id == tenant_id)
                .order_by(reports.c.revision.desc())
                .limit(1)
            )
        if body is None:
            raise ReportNotReady(meeting_id, meeting.report_state)
        return body

    async def artifacts(self, tenant_id: str, meeting_id: str) -> list[ArtifactRow]:
        """The files of the newest revision that has any, by kind and format.

        Raises:
            MeetingNotFound: there is no such meeting for this tenant.
            ReportNotReady: nothing was made yet.
        """
        mine = (artifacts.c.meeting_id == meeting_id, artifacts.c.tenant_id == tenant_id)
        newest = select(func.max(artifacts.c.revision)).where(*mine).scalar_subquery()
        async with self._database.connect() as connection:
            meeting = await _meeting(connection, tenant_id, meeting_id)
            rows = await connection.execute(
                select(artifacts)
                .where(*mine, artifacts.c.revision == newest)
                .order_by(artifacts.c.kind, artifacts.c.format)
            )
            found = [
                ArtifactRow(
                    row.kind, row.format, row.revision, row.content_type, row.blob_key, row.bytes, row.create_time
                )
                for row in rows
            ]
        if not found:
            raise ReportNotReady(meeting_id, meeting.report_state)
        return found

    async def save(
        self,
        tenant_id: str,
        meeting_id: str,
        revision: int,
        body: dict[str, Any],
        transcript_sha256: str,
        files: Sequence[ArtifactRow],
    ) -> bool:
        """Keep a report with its files and call it ready, in one transaction; again for the same revision replaces it.

        Returns:
            Whether the meeting is still there; if not, nothing was kept.
        """
        async with self._database.begin() as connection:
            there = await connection.scalar(
                select(meetings.c.id)
                .where(meetings.c.id == meeting_id, meetings.c.tenant_id == tenant_id)
                .with_for_update()
            )
            if there is None:
                return False
            key = {"tenant_id": tenant_id, "meeting_id": meeting_id, "revision": revision}
            report = insert(reports).values(**key, body=body, transcript_sha256=transcript_sha256)
            await connection.execute(
                report.on_conflict_do_update(
                    index_elements=[reports.c.meeting_id, reports.c.revision],
                    set_={"body": body, "transcript_sha256": transcript_sha256, "create_time": func.now()},
                )
            )
            await _keep_files(connection, key, files)
            await connection.execute(
                update(meetings)
                .where(meetings.c.id == meeting_id, meetings.c.tenant_id == tenant_id)
                .where(meetings.c.revision == revision)
                .values(report_state="ready")
            )
        return True

    async def fail(self, tenant_id: str, meeting_id: str) -> None:
        """Say that the report could not be built, unless an older one can be shown."""
        built = select(reports.c.revision).where(reports.c.meeting_id == meeting_id).exists()
        async with self._database.begin() as connection:
            await connection.execute(
                update(meetings)
                .where(meetings.c.id == meeting_id, meetings.c.tenant_id == tenant_id, ~built)
                .values(report_state="failed")
            )

    async def rebuild(self, tenant_id: str, meeting_id: str, rpc: str, request_id: str) -> str:
        """Queue a build of the meeting's report and files; the same request_id gives the same job.

        Returns:
            Identifier of the job; that of the waiting one if a build is queued already.

        Raises:
            MeetingNotFound: there is no such meeting for this tenant.
            MeetingNotEnded: it is still running.
            RequestIdReused: the request_id came before, with another meeting.
        """
        async with self._database.begin() as connection:
            meeting = await _meeting(connection, tenant_id, meeting_id, lock=True)
            if request_id:
                answered = await connection.scalar(
                    select(idempotency_keys.c.response).where(
                        idempotency_keys.c.tenant_id == tenant_id,
                        idempotency_keys.c.scope == rpc,
                        idempotency_keys.c.key == request_id,
                    )
                )
                if answered is not None:
                    if answered["meetingId"] != meeting_id:
                        raise RequestIdReused(request_id)
                    return str(answered["jobId"])
            if meeting.state not in _ENDED:
                raise MeetingNotEnded(meeting_id, meeting.state)
            job_id = await _queue_build(connection, tenant_id, meeting_id, meeting.revision)
            if meeting.report_state != "ready":
                await connection.execute(
                    update(meetings)
                    .where(meetings.c.id == meeting_id, meetings.c.tenant_id == tenant_id)
                    .values(report_state="queued")
                )
            if request_id:
                answer = {"meetingId": meeting_id, "jobId": job_id}
                await connection.execute(
                    insert(idempotency_keys)
                    .values(tenant_id=tenant_id, scope=rpc, key=request_id, response=answer)
                    .on_conflict_do_nothing()
                )
        with suppress(DatabaseUnavailable):  # then the worker finds it a second later
            await notify(self._database, QUEUE)
        return job_id

    async def ping(self) -> None:
        """Ask the database for a sign of life.

        Raises:
            DatabaseUnavailable: there is none.
        """
        await self._database.ping()

    async def queue_stats(self) -> QueueStats:
        """Counts of the queue of builds.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        async with self._database.connect() as connection:
            (stats,) = await read_stats(connection, [QUEUE])
        return stats


async def _meeting(connection: AsyncConnection, tenant_id: str, meeting_id: str, *, lock: bool = False) -> Any:
    wanted = select(meetings).where(meetings.c.id == meeting_id, meetings.c.tenant_id == tenant_id)
    row = (await connection.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
    if row is None:
        raise MeetingNotFound(meeting_id)
    return row


async def _roster(connection: AsyncConnection, tenant_id: str, meeting_id: str) -> list[tuple[str, str]]:
    rows = await connection.execute(
        select(participants.c.id, participants.c.display_name)
        .where(participants.c.meeting_id == meeting_id, participants.c.tenant_id == tenant_id)
        .order_by(participants.c.joined_ms, participants.c.id)
    )
    return [(row.id, row.display_name or row.id) for row in rows]


async def _coverage(
    connection: AsyncConnection, tenant_id: str, meeting_id: str, names: dict[str, str]
) -> tuple[ParticipantCoverage, ...]:
    length = func.sum(coverage.c.end_ms - coverage.c.start_ms).label("length_ms")
    rows = await connection.execute(
        select(coverage.c.participant_id, coverage.c.kind, length)
        .where(coverage.c.meeting_id == meeting_id, coverage.c.tenant_id == tenant_id)
        .group_by(coverage.c.participant_id, coverage.c.kind)
    )
    totals: dict[str, dict[str, int]] = {}
    for row in rows:
        totals.setdefault(row.participant_id, {})[row.kind] = int(row.length_ms)
    order = list(names)
    return tuple(
        ParticipantCoverage(
            participant_id=who,
            display_name=names.get(who, who),
            absent_ms=kinds.pop("absent", 0),
            coverage_ms=CoverageTotals(**kinds),
        )
        for who, kinds in sorted(
            totals.items(), key=lambda item: (order.index(item[0]) if item[0] in names else len(order), item[0])
        )
    )


async def _keep_files(connection: AsyncConnection, key: dict[str, Any], files: Iterable[ArtifactRow]) -> None:
    for file in files:
        changing = {"content_type": file.content_type, "blob_key": file.blob_key, "bytes": file.size_bytes}
        await connection.execute(
            insert(artifacts)
            .values(**key, kind=file.kind, format=file.fmt, **changing)
            .on_conflict_do_update(
                index_elements=[
                    artifacts.c.meeting_id,
                    artifacts.c.revision,
                    artifacts.c.kind,
                    artifacts.c.format,
                ],
                set_={**changing, "create_time": func.now()},
            )
        )


async def _queue_build(connection: AsyncConnection, tenant_id: str, meeting_id: str, revision: int) -> str:
    return await enqueue(
        connection,
        QUEUE,
        BUILD,
        {"meeting_id": meeting_id, "tenant_id": tenant_id, "revision": revision},
        tenant_id=tenant_id,
        key=meeting_id,
        dedupe=f"{BUILD}/{meeting_id}/{revision}",
    )


def _segment(row: Any, names: dict[str, str]) -> Segment:
    return Segment(
        segment_id=row.id,
        participant_id=row.participant_id,
        speaker=names.get(row.participant_id, row.participant_id),
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        text=row.text,
        ordinal=row.ordinal,
        words=tuple(
            Word(word["text"], word["start_ms"], word["end_ms"], word.get("confidence", 0.0)) for word in row.words
        ),
        language=row.language,
        confidence=row.confidence,
        engine=row.engine,
        model=row.model,
    )
