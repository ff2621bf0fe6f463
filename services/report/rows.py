"""What the repository takes and gives: revisions, files, deliveries, and what came of storing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kit.queue.job import Job


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of a meeting's text, which a step works on."""

    tenant_id: str
    meeting_id: str
    number: int

    @classmethod
    def of(cls, job: Job) -> Revision:
        """The revision that a job was enqueued for."""
        payload = job.payload
        return cls(str(payload["tenant_id"]), str(payload["meeting_id"]), int(payload["revision"]))

    def at(self, number: int) -> Revision:
        """Another revision of the same meeting."""
        return replace(self, number=number)


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of storing a step's result.

    `gone`: the meeting is not there any more; nothing was stored and the job is not finished. `following` are the
    jobs to come, `unused` keys of files that no row names (any more).
    """

    stored: bool = False
    gone: bool = False
    following: Sequence[str] = ()
    unused: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One sending of a report; `state` is "pending", "sent", "failed" or "skipped"."""

    delivery_id: str
    meeting_id: str
    tenant_id: str
    revision: int
    channel: str
    target: str
    state: str
    attempts: int
    last_error: str
    create_time: datetime
    update_time: datetime | None


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
