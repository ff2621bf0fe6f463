"""Erasure: a meeting cut off, its rows out, its blobs after them; a tombstone stays.

    DeleteMeeting, retention ──▶ rows and waiting jobs deleted, tombstone, job ──▶ erase_blobs ──▶ once more, later

The rows go first: from then on nobody can write anything of the meeting, and what was being written is swept up.
"""

from typing import Protocol

from agent.ingest.v1 import meeting_service_pb2 as pb
from kit.errors import InvalidArgument, NotFound
from kit.queue.job import Job
from kit.telemetry import logs
from services.ingest import metrics
from services.ingest.erasure.repository import ErasureRepository, Tombstone
from services.ingest.errors import MeetingErased, MeetingNotFound
from services.ingest.intake.session import MeetingKey
from store.places import meeting_prefixes

_MAX_REASON_CHARACTERS = 500

log = logs.get()


class Blobs(Protocol):
    """Where recordings and the files of reports are."""

    async def delete_below(self, prefix: str) -> int: ...


class Live(Protocol):
    """The meetings that are live here."""

    async def erase(self, key: MeetingKey) -> None: ...


class Erasure:
    """Erases meetings."""

    def __init__(self, repository: ErasureRepository, blobs: Blobs, live: Live) -> None:
        self._repository = repository
        self._blobs = blobs
        self._live = live

    async def erase(self, key: MeetingKey, *, erased_by: str, reason: str) -> Tombstone:
        """Erase a meeting for ever; one that was erased before keeps its tombstone.

        Raises:
            InvalidArgument: the reason is too long.
            MeetingNotFound: there is and was no such meeting for this tenant.
        """
        if len(reason) > _MAX_REASON_CHARACTERS:
            raise InvalidArgument(f"must have at most {_MAX_REASON_CHARACTERS} characters", field="reason")
        tombstone, new = await self._repository.erase(key, erased_by=erased_by, reason=reason)
        if new:
            metrics.ERASED.labels("meeting", "retention" if erased_by == "retention" else "request").inc()
            log.warning("meeting_erased", meeting_id=key.meeting_id, erased_by=erased_by)
        await self._live.erase(key)
        return tombstone

    async def absence(self, key: MeetingKey) -> NotFound:
        """Return the error for a meeting that is not there: it was erased, or never was."""
        try:
            await self._repository.tombstone(key)
        except MeetingNotFound as never:
            return never
        return MeetingErased(key.meeting_id)

    async def erase_blobs(self, job: Job) -> None:
        """Delete every blob of an erased meeting: a job, done at once and again when no writer can be left.

        Raises:
            OSError: the blob store fails; the job is tried again.
        """
        key = MeetingKey(job.tenant_id, str(job.payload["meeting_id"]))
        count = 0
        for prefix in meeting_prefixes(key.tenant_id, key.meeting_id):
            count += await self._blobs.delete_below(prefix)
        await self._repository.blobs_gone(job, key)
        log.info("blobs_erased", meeting_id=key.meeting_id, blobs=count)


def tombstone_message(tombstone: Tombstone) -> pb.Tombstone:
    """Return a tombstone as callers see it."""
    message = pb.Tombstone(meeting_id=tombstone.meeting_id, erased_by=tombstone.erased_by, reason=tombstone.reason)
    message.erase_time.FromDatetime(tombstone.erase_time)
    return message
