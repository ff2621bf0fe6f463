"""A job as handlers and operators see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

COLUMNS = (
    "id, sequence, queue, kind, tenant_id, key, payload, state, run_at, attempts, max_attempts, worker, last_error, "
    "trace_id, create_time"
)


STATES = ("ready", "waiting", "running", "done", "dead")


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work.

    `attempts` counts the present one. `sequence` grows with the order of enqueueing.
    """

    id: str
    sequence: int
    queue: str
    kind: str
    tenant_id: str
    key: str | None
    payload: Mapping[str, Any]
    state: str
    run_at: datetime
    attempts: int
    max_attempts: int
    worker: str | None
    last_error: str
    trace_id: str
    create_time: datetime

    @classmethod
    def of(cls, row: Row[Any]) -> "Job":
        """Read a row of COLUMNS."""
        return cls(**row._mapping)


@dataclass(frozen=True, slots=True)
class QueueStats:
    """Counts of one queue: `depth` is ready, delayed and waiting jobs, `pending` what runs now.

    `error` says why the queue could not be counted; the counts are 0 then.
    """

    queue: str
    depth: int
    pending: int
    dead: int
    oldest_age_seconds: float
    """Age of the job that has been due longest."""
    error: str = ""
