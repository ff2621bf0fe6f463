"""The steps after a meeting, each a job of the queue:

    enhance ──▶ report ──▶ deliver (one per channel)

enhance (its job is called "build_report") makes the clean transcript, report the analysis and its files, deliver
sends it. A step stores its result, is acknowledged and enqueues the next one in one transaction, so however often it
is begun, it happens once; a worker that lost its job stores nothing. Files lie under digests of their bytes and are
found through rows alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from kit import clock
from kit.queue.errors import GiveUp, JobLost
from kit.queue.job import Job
from kit.queue.worker import Handler
from kit.telemetry import logs
from services.report.analysis.analyser import analyse
from services.report.artifacts import Rendered, blob_key, render_report, render_transcripts
from services.report.document import Report
from services.report.errors import MeetingNotFound
from services.report.repository import ENHANCE, REPORT, ReportRepository
from services.report.rows import ArtifactRow, Revision
from services.report.transcript import Transcript
from services.report.verification import verify
from services.report.wire import report_message, to_dict
from store.places import artifacts_prefix

log = logs.get()


class BlobInfo(Protocol):
    """A file without its bytes."""

    @property
    def key(self) -> str: ...


class Blobs(Protocol):
    """Where files are kept."""

    async def put(self, key: str, data: bytes) -> object: ...

    async def delete(self, key: str) -> None: ...

    def list(self, prefix: str = "") -> AsyncIterator[BlobInfo]: ...


@dataclass(frozen=True, slots=True)
class Built:
    """A report with its files, verified."""

    report: Report
    body: dict[str, Any]
    files: tuple[Rendered, ...]


class Steps:
    """Does the jobs that make something; `deliveries` does those that send it."""

    def __init__(self, repository: ReportRepository, blobs: Blobs, channels: Mapping[str, str]) -> None:
        """Store what the steps work with; `channels` are the configured ones with their targets."""
        self._repository = repository
        self._blobs = blobs
        self._channels = channels

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """By kind of job."""
        return {ENHANCE: self.enhance, REPORT: self.report}

    async def enhance(self, job: Job) -> Sequence[str]:
        """Make the raw and the clean transcript of the newest revision, whichever was asked for."""
        asked = Revision.of(job)
        with logs.bind(meeting_id=asked.meeting_id):
            transcript = await self._transcript(asked)
            if transcript is None:
                return await self._leave(job, asked)
            files = await asyncio.to_thread(render_transcripts, transcript)
            rows = await self._put(asked.at(transcript.revision), files)
            return await self._keep(job, asked.at(transcript.revision), rows, None)

    async def report(self, job: Job) -> Sequence[str]:
        """Make the report of a revision, or begin anew with a newer one if there is one.

        Raises:
            GiveUp: the analyser made a quotation that does not stand in the transcript, trying again cannot help.
        """
        asked = Revision.of(job)
        with logs.bind(meeting_id=asked.meeting_id):
            transcript = await self._transcript(asked)
            if transcript is None:
                return await self._leave(job, asked)
            built = await asyncio.to_thread(make, transcript, clock.now())
            rows = await self._put(asked.at(transcript.revision), built.files)
            return await self._keep(job, asked, rows, built)

    async def _transcript(self, asked: Revision) -> Transcript | None:
        try:
            return await self._repository.transcript(asked.tenant_id, asked.meeting_id)
        except MeetingNotFound:
            return None

    async def _put(self, revision: Revision, files: Sequence[Rendered]) -> Sequence[ArtifactRow]:
        rows = []
        for file in files:
            key = blob_key(revision.tenant_id, revision.meeting_id, revision.number, file)
            await self._blobs.put(key, file.data)
            rows.append(
                ArtifactRow(file.kind, file.fmt, revision.number, file.content_type, key, len(file.data), clock.now())
            )
        return rows

    async def _keep(
        self, job: Job, revision: Revision, rows: Sequence[ArtifactRow], built: Built | None
    ) -> Sequence[str]:
        try:
            if built is None:
                kept = await self._repository.keep_transcripts(job, revision, rows)
            else:
                sha256 = built.report.provenance.transcript_sha256
                kept = await self._repository.keep_report(job, revision, built.body, sha256, rows, self._channels)
        except JobLost:
            await self._sweep(await self._repository.without_row(revision, [row.blob_key for row in rows]))
            raise
        await self._sweep(kept.unused)
        if kept.gone:
            return await self._leave(job, revision)
        log.info("step_done", step=job.kind, revision=revision.number, files=len(rows), kept=kept.stored)
        return kept.following

    async def _leave(self, job: Job, revision: Revision) -> Sequence[str]:
        """The meeting was erased: leave nothing that a step of it may have written."""
        await self._sweep([blob.key async for blob in self._blobs.list(_prefix(revision))])
        await self._repository.finish(job)
        log.info("step_meeting_gone", step=job.kind)
        return ()

    async def _sweep(self, keys: Sequence[str]) -> None:
        for key in keys:
            await self._blobs.delete(key)


def make(transcript: Transcript, now: datetime) -> Built:
    """Analyse, verify and render; pure, takes milliseconds to seconds of processor time.

    Raises:
        GiveUp: the report's quotations do not hold: a bug, never published.
    """
    report = analyse(transcript, now)
    if problems := verify(report, transcript.segments):
        raise GiveUp(f"{len(problems)} quotations do not hold, the first at {problems[0].partition(':')[0]}")
    return Built(report, to_dict(report_message(report)), render_report(report))


def _prefix(revision: Revision) -> str:
    return artifacts_prefix(revision.tenant_id, revision.meeting_id)
