"""The post-meeting job: transcript to report and files, done again by whoever gets it after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from kit import clock
from kit.queue.errors import GiveUp
from kit.queue.job import Job
from kit.telemetry import logs
from services.report.analysis.analyser import analyse
from services.report.artifacts import Rendered, blob_key, render
from services.report.document import Report
from services.report.errors import MeetingNotFound
from services.report.repository import ArtifactRow, ReportRepository
from services.report.transcript import Transcript
from services.report.verification import verify
from services.report.wire import report_message, to_dict

log = logs.get()


class Blobs(Protocol):
    """Where files are kept."""

    async def put(self, key: str, data: bytes) -> object: ...

    async def delete(self, key: str) -> None: ...


class ReportUnverified(Exception):
    """The analyser made a report with a quotation that does not stand in the transcript: a bug, never published."""


@dataclass(frozen=True, slots=True)
class Built:
    """A report with its files, verified."""

    transcript: Transcript
    report: Report
    body: dict[str, Any]
    files: tuple[Rendered, ...]


class ReportBuilder:
    """Builds reports; a build is idempotent per meeting and revision."""

    def __init__(self, repository: ReportRepository, blobs: Blobs) -> None:
        self._repository = repository
        self._blobs = blobs

    async def handle(self, job: Job) -> None:
        """Do one job of the queue; `payload` is `meeting_id`, `tenant_id` and `revision`.

        What is built is the newest revision, whichever was asked for. When the last attempt fails, the meeting's
        report is called failed.

        Raises:
            GiveUp: the analyser is at fault, trying again cannot help.
        """
        tenant_id, meeting_id = str(job.payload["tenant_id"]), str(job.payload["meeting_id"])
        try:
            await self.build(tenant_id, meeting_id)
        except ReportUnverified as error:
            await self._repository.fail(tenant_id, meeting_id)
            raise GiveUp(str(error)) from error
        except Exception:
            if job.attempts >= job.max_attempts:
                await self._repository.fail(tenant_id, meeting_id)
            raise

    async def build(self, tenant_id: str, meeting_id: str) -> None:
        """Build a meeting's report and files; a meeting that was deleted meanwhile leaves nothing behind.

        Raises:
            ReportUnverified: the report's quotations do not hold.
            DatabaseUnavailable: the database is away.
        """
        with logs.bind(meeting_id=meeting_id):
            try:
                transcript = await self._repository.transcript(tenant_id, meeting_id)
            except MeetingNotFound:
                log.info("report_meeting_gone")
                return
            built = await asyncio.to_thread(make, transcript, clock.now())
            rows = await self._store(tenant_id, built)
            sha256 = built.report.provenance.transcript_sha256
            kept = await self._repository.save(tenant_id, meeting_id, transcript.revision, built.body, sha256, rows)
            if not kept:
                for row in rows:
                    await self._blobs.delete(row.blob_key)
                log.info("report_meeting_gone")
                return
            log.info("report_built", revision=transcript.revision, segments=len(transcript.segments), files=len(rows))

    async def _store(self, tenant_id: str, built: Built) -> Sequence[ArtifactRow]:
        rows = []
        for file in built.files:
            key = blob_key(tenant_id, built.report.meeting_id, built.report.revision, file.kind, file.fmt)
            await self._blobs.put(key, file.data)
            made = built.report.provenance.create_time
            rows.append(
                ArtifactRow(file.kind, file.fmt, built.report.revision, file.content_type, key, len(file.data), made)
            )
        return rows


def make(transcript: Transcript, now: datetime) -> Built:
    """Analyse, verify and render; pure, takes milliseconds to seconds of processor time.

    Raises:
        ReportUnverified: the report's quotations do not hold.
    """
    report = analyse(transcript, now)
    if problems := verify(report, transcript.segments):
        raise ReportUnverified(f"{len(problems)} quotations do not hold, the first at {problems[0].partition(':')[0]}")
    return Built(transcript, report, to_dict(report_message(report)), render(transcript, report))
