"""What a worker does to jobs: claim, keep, finish.

Every change names the attempt, so a worker that has lost its lease changes nothing.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.queue.errors import JobLost
from kit.queue.job import COLUMNS, Job
from kit.queue.order import lock_key, promote_next

WORKER_LOST = "the worker was lost"
"""The last error of a job whose worker has not been heard of."""

_CLAIM = text(
    f"""
    WITH picked AS MATERIALIZED (
        SELECT id AS picked_id FROM jobs
        WHERE queue = :queue AND state = 'ready' AND run_at <= now() AND kind = ANY(:kinds)
        ORDER BY priority DESC, run_at, sequence LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    UPDATE jobs SET state = 'running', attempts = attempts + 1, worker = :worker,
        lease_until = now() + make_interval(secs => :lease_seconds)
    FROM picked WHERE id = picked_id RETURNING {COLUMNS}
    """  # noqa: S608 - a constant
)

_CLAIM_ONE = text(
    f"""
    UPDATE jobs SET state = 'running', attempts = attempts + 1, worker = :worker,
        lease_until = now() + make_interval(secs => :lease_seconds)
    WHERE id = :id AND queue = :queue AND state = 'ready' AND run_at <= now() AND kind = ANY(:kinds)
    RETURNING {COLUMNS}
    """  # noqa: S608 - a constant
)

_FIND_DONE = text(
    """
    SELECT id FROM jobs, unnest(CAST(:ids AS text[]), CAST(:attempts AS integer[])) AS mine (mine_id, mine_attempts)
    WHERE id = mine_id AND attempts = mine_attempts AND state = 'done'
    """
)

_EXTEND = text(
    """
    UPDATE jobs SET lease_until = now() + make_interval(secs => :lease_seconds)
    FROM unnest(CAST(:ids AS text[]), CAST(:attempts AS integer[])) AS mine (mine_id, mine_attempts)
    WHERE id = mine_id AND attempts = mine_attempts AND worker = :worker AND state = 'running'
    RETURNING id
    """
)

_SETTLE = """
    UPDATE jobs SET worker = NULL, lease_until = NULL, {changes}
    WHERE id = :id AND attempts = :attempts AND worker = :worker AND state = 'running' {condition}
    RETURNING state
"""


def _settle(changes: str, condition: str = "") -> Any:
    return text(_SETTLE.format(changes=changes, condition=condition))


_COMPLETE = _settle("state = 'done', finish_time = now()")
_RELEASE = _settle(
    "state = 'ready', run_at = now() + make_interval(secs => :seconds), last_error = :error, "
    "max_attempts = max_attempts + 1"  # `attempts` only grows: it is what fences
)
_BURY = _settle("state = 'dead', finish_time = now(), last_error = :error")
_FAIL_CHANGES = (
    "state = CASE WHEN attempts < max_attempts THEN 'ready' ELSE 'dead' END, "
    "finish_time = CASE WHEN attempts < max_attempts THEN NULL ELSE now() END, "
    "run_at = now() + make_interval(secs => :seconds), last_error = :error"
)
_FAIL = _settle(_FAIL_CHANGES)
_EXPIRE = _settle(_FAIL_CHANGES, "AND lease_until < now()")

_EXPIRED = text(
    f"SELECT {COLUMNS} FROM jobs WHERE queue = :queue AND state = 'running' AND lease_until < now() LIMIT 100"  # noqa: S608
)

_PRUNE = text(
    """
    DELETE FROM jobs WHERE id IN (
        SELECT id FROM jobs
        WHERE queue = :queue AND state = 'done' AND finish_time < now() - make_interval(secs => :seconds) LIMIT 1000
    )
    """
)


async def claim(
    connection: AsyncConnection, queue: str, kinds: Collection[str], *, worker: str, lease_seconds: float, limit: int
) -> list[Job]:
    """Take up to `limit` due jobs, in order."""
    values = {"queue": queue, "kinds": list(kinds), "worker": worker, "lease_seconds": lease_seconds, "limit": limit}
    rows = await connection.execute(_CLAIM, values)
    return sorted((Job.of(row) for row in rows), key=lambda job: job.sequence)


async def claim_one(
    connection: AsyncConnection,
    queue: str,
    kinds: Collection[str],
    job_id: str,
    *,
    worker: str,
    lease_seconds: float,
) -> Job | None:
    """Take this job if it is due; None if it is not, or somebody else has it."""
    values = {"queue": queue, "kinds": list(kinds), "id": job_id, "worker": worker, "lease_seconds": lease_seconds}
    row = (await connection.execute(_CLAIM_ONE, values)).one_or_none()
    return Job.of(row) if row is not None else None


async def extend(connection: AsyncConnection, jobs: Sequence[Job], *, worker: str, lease_seconds: float) -> set[str]:
    """Lengthen the leases; returns the ids of those that are still the worker's."""
    values = {
        "ids": [job.id for job in jobs],
        "attempts": [job.attempts for job in jobs],
        "worker": worker,
        "lease_seconds": lease_seconds,
    }
    return set((await connection.execute(_EXTEND, values)).scalars())


async def complete(connection: AsyncConnection, job: Job) -> bool:
    """Mark a claimed job done; False if it is no longer the worker's."""
    return await _end(connection, job, _COMPLETE) is not None


async def finish(connection: AsyncConnection, job: Job) -> None:
    """Mark a claimed job done in the transaction of the handler that stores its result.

    Then result and acknowledgement are one: no crash lies between them, and a worker that lost its lease stores
    nothing. Everybody locks rows of his own first and comes to the queue last; so must you.

    Raises:
        JobLost: it is no longer the worker's; let it through, so that the transaction is rolled back.
    """
    if not await complete(connection, job):
        raise JobLost


async def find_done(connection: AsyncConnection, jobs: Sequence[Job]) -> set[str]:
    """Return the ids of those that are done and were finished under these very claims."""
    values = {"ids": [job.id for job in jobs], "attempts": [job.attempts for job in jobs]}
    return set((await connection.execute(_FIND_DONE, values)).scalars())


async def fail(connection: AsyncConnection, job: Job, *, rest_seconds: float, error: str) -> str | None:
    """Let a claimed job rest, or die if that was its last attempt; returns its state, None if not ours any more."""
    return await _end(connection, job, _FAIL, seconds=rest_seconds, error=error)


async def bury(connection: AsyncConnection, job: Job, *, error: str) -> bool:
    """Mark a claimed job dead; False if it is no longer the worker's."""
    return await _end(connection, job, _BURY, error=error) is not None


async def release(connection: AsyncConnection, job: Job, *, rest_seconds: float = 0.0, error: str = "") -> bool:
    """Put a claimed job back without counting the attempt; False if it is no longer the worker's."""
    return await _end(connection, job, _RELEASE, seconds=rest_seconds, error=error) is not None


async def find_expired(connection: AsyncConnection, queue: str) -> list[Job]:
    """Return running jobs whose worker has not been heard of, 100 at most."""
    return [Job.of(row) for row in await connection.execute(_EXPIRED, {"queue": queue})]


async def expire(connection: AsyncConnection, job: Job) -> str | None:
    """Take an expired job from its worker; returns its state, None if it was kept or finished after all."""
    return await _end(connection, job, _EXPIRE, seconds=0.0, error=WORKER_LOST)


async def prune(connection: AsyncConnection, queue: str, *, after_seconds: float) -> int:
    """Delete jobs that were done this long ago, 1,000 at most; dead ones stay for the operator."""
    return (await connection.execute(_PRUNE, {"queue": queue, "seconds": after_seconds})).rowcount


async def _end(connection: AsyncConnection, job: Job, statement: Any, **values: object) -> str | None:
    await lock_key(connection, job.queue, job.key)
    values |= {"id": job.id, "attempts": job.attempts, "worker": job.worker}
    state: str | None = (await connection.execute(statement, values)).scalar_one_or_none()
    if state in ("done", "dead"):
        await promote_next(connection, job.queue, job.key)
    return state
