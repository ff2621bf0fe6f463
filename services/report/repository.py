"""What the report room reads and writes in PostgreSQL; every statement names its tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import tzinfo
from typing import Any

from sqlalchemy import and_, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.db.engine import Database, DatabaseUnavailable
from kit.ids import new_id
from kit.names import told_apart
from kit.queue import claims
from kit.queue.job import Job
from kit.queue.queue import enqueue
from kit.queue.wake import notify
from services.report.document import CoverageTotals, ParticipantCoverage
from services.report.errors import (
    ArtifactNotFound,
    DeliveryNotFound,
    MeetingNotEnded,
    MeetingNotFound,
    ReportNotReady,
    RequestIdReused,
)
from services.report.rows import ArtifactRow, DeliveryRow, Kept, Revision
from services.report.transcript import Segment, Transcript, Word
from store.answers import Answers
from store.models import artifacts, coverage, deliveries, meetings, participants, reports, segments

QUEUE = "report"
ENHANCE, REPORT, DELIVER = "build_report", "report", "deliver"
"""The steps. ingest enqueues the first of them by this name, as what it asks for is a report."""
_MODES = ("interview", "meeting", "call")
_ENDED = ("finished", "finishing")
_BUILD_ATTEMPTS = 8
_DELIVERY_ATTEMPTS = 30
"""With the queue's pauses they last about four hours; a receiver that says how long it wants to rest gets more."""


class ReportRepository:
    """Meetings, their text and coverage; reports, artifacts and deliveries.

    Transactions lock a meeting's or a delivery's row first and come to the queue last.
    """

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
                speech_cost_usd=meeting.speech_cost_usd,
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
        """The files, each of the newest revision that has it, by kind and format.

        Raises:
            MeetingNotFound: there is no such meeting for this tenant.
            ReportNotReady: nothing was made yet.
        """
        async with self._database.connect() as connection:
            meeting = await _meeting(connection, tenant_id, meeting_id)
            rows = await connection.execute(
                select(artifacts)
                .where(artifacts.c.meeting_id == meeting_id, artifacts.c.tenant_id == tenant_id)
                .ext(distinct_on(artifacts.c.kind, artifacts.c.format))
                .order_by(artifacts.c.kind, artifacts.c.format, artifacts.c.revision.desc())
            )
            found = [_artifact(row) for row in rows]
        if not found:
            raise ReportNotReady(meeting_id, meeting.report_state)
        return found

    async def artifact(self, tenant_id: str, meeting_id: str, kind: str, fmt: str) -> ArtifactRow:
        """One file, of the newest revision that has it.

        Raises:
            MeetingNotFound: there is no such meeting for this tenant.
            ReportNotReady: it was not made yet.
            ArtifactNotFound: the report is ready, but an earlier version made no such file.
        """
        async with self._database.connect() as connection:
            meeting = await _meeting(connection, tenant_id, meeting_id)
            rows = await connection.execute(
                select(artifacts)
                .where(artifacts.c.meeting_id == meeting_id, artifacts.c.tenant_id == tenant_id)
                .where(artifacts.c.kind == kind, artifacts.c.format == fmt)
                .order_by(artifacts.c.revision.desc())
                .limit(1)
            )
            row = rows.one_or_none()
        if row is not None:
            return _artifact(row)
        if meeting.report_state == "ready":
            raise ArtifactNotFound(kind, fmt)
        raise ReportNotReady(meeting_id, meeting.report_state)

    async def keep_transcripts(self, job: Job, revision: Revision, files: Sequence[ArtifactRow]) -> Kept:
        """Store the files of the transcripts, finish the step and enqueue the report, in one transaction.

        Raises:
            JobLost: the job is another worker's by now.
        """
        async with self._database.begin() as connection:
            meeting = await _locked(connection, revision)
            if meeting is None:
                return Kept(gone=True)
            current = meeting.revision == revision.number
            replaced = await _keep_files(connection, revision, files) if current else [one.blob_key for one in files]
            if current and meeting.report_state in ("none", "failed"):
                await connection.execute(update(meetings).where(_is(revision)).values(report_state="queued"))
            await claims.finish(connection, job)
            following = await _enqueue(
                connection, REPORT if current else ENHANCE, revision.at(meeting.revision), revision.meeting_id
            )
        return Kept(current, following=[following], unused=replaced)

    async def keep_report(
        self,
        job: Job,
        revision: Revision,
        body: Mapping[str, Any],
        transcript_sha256: str,
        files: Sequence[ArtifactRow],
        channels: Mapping[str, str],
    ) -> Kept:
        """Store a report with its files, call it ready, finish the step and enqueue what sends it, in one transaction.

        A report of the same revision is replaced. What was sent of this revision is not sent again.

        Args:
            job: of the step.
            revision: that the job was enqueued for; a newer one in the store makes the result void.
            body: the report as protobuf JSON.
            transcript_sha256: of the text that it was built from.
            files: of the report.
            channels: targets by channel.

        Raises:
            JobLost: the job is another worker's by now.
        """
        async with self._database.begin() as connection:
            meeting = await _locked(connection, revision)
            if meeting is None:
                return Kept(gone=True)
            if meeting.revision != revision.number:
                await claims.finish(connection, job)
                newer = await _enqueue(connection, ENHANCE, revision.at(meeting.revision), revision.meeting_id)
                return Kept(following=[newer], unused=[one.blob_key for one in files])
            built = {"body": dict(body), "transcript_sha256": transcript_sha256}
            await connection.execute(
                insert(reports)
                .values(**_key(revision), **built)
                .on_conflict_do_update(
                    index_elements=[reports.c.meeting_id, reports.c.revision],
                    set_={**built, "create_time": func.now()},
                )
            )
            replaced = await _keep_files(connection, revision, files)
            await connection.execute(update(meetings).where(_is(revision)).values(report_state="ready"))
            waiting = await _order_deliveries(connection, revision, channels)
            await claims.finish(connection, job)
            following = [await _enqueue_delivery(connection, one) for one in waiting]
        return Kept(True, following=following, unused=replaced)

    async def finish(self, job: Job) -> None:
        """Finish a step that leaves nothing.

        Raises:
            JobLost: the job is another worker's by now.
        """
        async with self._database.begin() as connection:
            await claims.finish(connection, job)

    async def without_row(self, revision: Revision, keys: Sequence[str]) -> list[str]:
        """Those of the keys that no artifact's row names."""
        async with self._database.connect() as connection:
            named = await connection.scalars(
                select(artifacts.c.blob_key).where(
                    artifacts.c.meeting_id == revision.meeting_id,
                    artifacts.c.tenant_id == revision.tenant_id,
                    artifacts.c.blob_key.in_(keys),
                )
            )
            return sorted(set(keys) - set(named))

    async def write_off(self, connection: AsyncConnection, job: Job, error: str) -> None:
        """Say, in the transaction in which a job dies, what that means.

        A meeting whose report could not be built shows an older one, or "failed"; a delivery is "failed". A report
        that could not be sent is ready all the same.
        """
        if job.kind == DELIVER:
            await connection.execute(
                update(deliveries)
                .where(deliveries.c.id == str(job.payload["delivery_id"]), deliveries.c.state == "pending")
                .values(state="failed", last_error=error, update_time=func.now())
            )
            return
        revision = Revision.of(job)
        built = select(reports.c.revision).where(reports.c.meeting_id == revision.meeting_id).exists()
        await connection.execute(update(meetings).where(_is(revision), ~built).values(report_state="failed"))

    async def rebuild(self, tenant_id: str, meeting_id: str, rpc: str, request_id: str) -> str:
        """Queue a build of the meeting's report and files; the same request_id gives the same job.

        Returns:
            Identifier of the first step's job; that of the waiting one if a build is queued already.

        Raises:
            MeetingNotFound: there is no such meeting for this tenant.
            MeetingNotEnded: it is still running.
            RequestIdReused: the request_id came before, with another meeting.
        """
        answers = Answers(tenant_id)
        async with self._database.begin() as connection:
            if request_id:
                answered = await answers.recall(connection, rpc, request_id)
                if answered is not None:
                    if answered["meetingId"] != meeting_id:
                        raise RequestIdReused(request_id)
                    return str(answered["jobId"])
            meeting = await _meeting(connection, tenant_id, meeting_id, lock=True)
            if meeting.state not in _ENDED:
                raise MeetingNotEnded(meeting_id, meeting.state)
            revision = Revision(tenant_id, meeting_id, meeting.revision)
            if meeting.report_state != "ready":
                await connection.execute(update(meetings).where(_is(revision)).values(report_state="queued"))
            job_id = await _enqueue(connection, ENHANCE, revision, meeting_id)
            if request_id:
                await answers.remember(connection, rpc, request_id, {"meetingId": meeting_id, "jobId": job_id})
        with suppress(DatabaseUnavailable):  # then the worker finds it a second later
            await notify(self._database, QUEUE)
        return job_id

    async def deliveries(self, tenant_id: str, meeting_id: str) -> list[DeliveryRow]:
        """Where the reports of a meeting were sent, newest first.

        Raises:
            MeetingNotFound: there is no such meeting for this tenant.
        """
        async with self._database.connect() as connection:
            await _meeting(connection, tenant_id, meeting_id)
            rows = await connection.execute(
                select(deliveries)
                .where(deliveries.c.meeting_id == meeting_id, deliveries.c.tenant_id == tenant_id)
                .order_by(deliveries.c.create_time.desc(), deliveries.c.id.desc())
            )
            return [_delivery(row) for row in rows]

    async def begin_delivery(self, tenant_id: str, delivery_id: str) -> tuple[DeliveryRow, dict[str, Any]] | None:
        """Count an attempt at sending; returns the delivery and its report as protobuf JSON.

        None if there is nothing to send: it was sent, it was skipped, or its meeting is gone.
        """
        async with self._database.begin() as connection:
            row = (
                await connection.execute(
                    update(deliveries)
                    .where(deliveries.c.id == delivery_id, deliveries.c.tenant_id == tenant_id)
                    .where(deliveries.c.state.in_(["pending", "failed"]))
                    .values(state="pending", attempts=deliveries.c.attempts + 1, update_time=func.now())
                    .returning(deliveries)
                )
            ).one_or_none()
            if row is None:
                return None
            body: dict[str, Any] | None = await connection.scalar(
                select(reports.c.body).where(
                    reports.c.meeting_id == row.meeting_id,
                    reports.c.tenant_id == tenant_id,
                    reports.c.revision == row.revision,
                )
            )
        return (_delivery(row), body) if body is not None else None

    async def end_delivery(self, job: Job, delivery: DeliveryRow, state: str, error: str = "") -> None:
        """Say that a delivery was "sent" or "skipped" and finish the step, in one transaction.

        Raises:
            JobLost: the job is another worker's by now.
        """
        async with self._database.begin() as connection:
            await connection.execute(
                update(deliveries)
                .where(deliveries.c.id == delivery.delivery_id, deliveries.c.tenant_id == delivery.tenant_id)
                .values(state=state, last_error=error, update_time=func.now())
            )
            await claims.finish(connection, job)

    async def note_failure(self, delivery: DeliveryRow, error: str) -> None:
        """Say why a delivery was not taken; it will be tried again or given up."""
        async with self._database.begin() as connection:
            await connection.execute(
                update(deliveries)
                .where(deliveries.c.id == delivery.delivery_id, deliveries.c.tenant_id == delivery.tenant_id)
                .where(deliveries.c.state == "pending")
                .values(last_error=error, update_time=func.now())
            )

    async def redeliver(
        self, tenant_id: str, delivery_id: str, request_id: str, *, meeting_id: str = ""
    ) -> DeliveryRow:
        """Queue a delivery once more, also one that was sent; the same request_id does so once.

        A `meeting_id` that is given must be the one that the delivery is of.

        Returns:
            The delivery as it is now.

        Raises:
            DeliveryNotFound: there is no such delivery for this tenant.
            RequestIdReused: the request_id came before, with another delivery.
        """
        answers = Answers(tenant_id)
        mine = [deliveries.c.id == delivery_id, deliveries.c.tenant_id == tenant_id]
        if meeting_id:
            mine.append(deliveries.c.meeting_id == meeting_id)
        async with self._database.begin() as connection:
            answered = await answers.recall(connection, "Redeliver", request_id) if request_id else None
            if answered is not None and answered["deliveryId"] != delivery_id:
                raise RequestIdReused(request_id)
            row = (await connection.execute(select(deliveries).where(*mine).with_for_update())).one_or_none()
            if row is None:
                raise DeliveryNotFound(delivery_id)
            if answered is not None:
                return _delivery(row)
            again = {"state": "pending", "last_error": "", "update_time": func.now()}
            row = (await connection.execute(update(deliveries).where(*mine).values(again).returning(deliveries))).one()
            await _enqueue_delivery(connection, _delivery(row))
            if request_id:
                await answers.remember(connection, "Redeliver", request_id, {"deliveryId": delivery_id})
        with suppress(DatabaseUnavailable):
            await notify(self._database, QUEUE)
        return _delivery(row)

    async def ping(self) -> None:
        """Ask the database for a sign of life.

        Raises:
            DatabaseUnavailable: there is none.
        """
        await self._database.ping()


def _is(revision: Revision) -> Any:
    return and_(meetings.c.id == revision.meeting_id, meetings.c.tenant_id == revision.tenant_id)


def _key(revision: Revision) -> dict[str, Any]:
    return {"tenant_id": revision.tenant_id, "meeting_id": revision.meeting_id, "revision": revision.number}


async def _locked(connection: AsyncConnection, revision: Revision) -> Any:
    return (await connection.execute(select(meetings).where(_is(revision)).with_for_update())).one_or_none()


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
    names: dict[str, str] = {}
    for row in rows:
        names[row.id] = told_apart(row.display_name or row.id, frozenset(names.values()))
    return list(names.items())


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


async def _keep_files(connection: AsyncConnection, revision: Revision, files: Sequence[ArtifactRow]) -> list[str]:
    """Store rows of files; returns the keys that rows of the same files named until now."""
    before = await connection.scalars(
        select(artifacts.c.blob_key).where(
            artifacts.c.meeting_id == revision.meeting_id,
            artifacts.c.revision == revision.number,
            artifacts.c.kind.in_({file.kind for file in files}),
        )
    )
    replaced = set(before) - {file.blob_key for file in files}
    for file in files:
        changing = {"content_type": file.content_type, "blob_key": file.blob_key, "bytes": file.size_bytes}
        await connection.execute(
            insert(artifacts)
            .values(**_key(revision), kind=file.kind, format=file.fmt, **changing)
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
    return sorted(replaced)


async def _order_deliveries(
    connection: AsyncConnection, revision: Revision, channels: Mapping[str, str]
) -> list[DeliveryRow]:
    """Note that the revision is to be sent; returns what is not sent yet, by channel."""
    for channel, target in channels.items():
        await connection.execute(
            insert(deliveries)
            .values(id=new_id(), **_key(revision), channel=channel, target=target)
            .on_conflict_do_nothing(
                index_elements=[
                    deliveries.c.meeting_id,
                    deliveries.c.revision,
                    deliveries.c.channel,
                    deliveries.c.target,
                ]
            )
        )
    rows = await connection.execute(
        select(deliveries)
        .where(deliveries.c.meeting_id == revision.meeting_id, deliveries.c.tenant_id == revision.tenant_id)
        .where(deliveries.c.revision == revision.number, deliveries.c.state == "pending")
        .order_by(deliveries.c.channel)
    )
    return [_delivery(row) for row in rows]


async def _enqueue(connection: AsyncConnection, kind: str, revision: Revision, key: str, **payload: str) -> str:
    return await enqueue(
        connection,
        QUEUE,
        kind,
        {"meeting_id": revision.meeting_id, "tenant_id": revision.tenant_id, "revision": revision.number, **payload},
        tenant_id=revision.tenant_id,
        key=key,
        dedupe="/".join((kind, revision.meeting_id, str(revision.number), *payload.values())),
        priority=-1 if kind == DELIVER else 0,  # receivers that do not answer must not keep reports from being built
        max_attempts=_DELIVERY_ATTEMPTS if kind == DELIVER else _BUILD_ATTEMPTS,
    )


async def _enqueue_delivery(connection: AsyncConnection, delivery: DeliveryRow) -> str:
    # A line of its own: a receiver that is away must not hold up the meeting's other steps and channels.
    revision = Revision(delivery.tenant_id, delivery.meeting_id, delivery.revision)
    key = f"{delivery.meeting_id}/{delivery.channel}"
    return await _enqueue(connection, DELIVER, revision, key, delivery_id=delivery.delivery_id)


def _artifact(row: Any) -> ArtifactRow:
    return ArtifactRow(row.kind, row.format, row.revision, row.content_type, row.blob_key, row.bytes, row.create_time)


def _delivery(row: Any) -> DeliveryRow:
    return DeliveryRow(
        delivery_id=row.id,
        meeting_id=row.meeting_id,
        tenant_id=row.tenant_id,
        revision=row.revision,
        channel=row.channel,
        target=row.target,
        state=row.state,
        attempts=row.attempts,
        last_error=row.last_error,
        create_time=row.create_time,
        update_time=row.update_time,
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
