"""Putting jobs in, and what an operator sees and mends."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.errors import Aborted
from kit.ids import new_id
from kit.queue.errors import JobNotFound, JobStateChanged
from kit.queue.job import COLUMNS, STATES, Job, QueueStats
from kit.queue.order import lock_key, promote_next
from kit.telemetry import trace_context

_ENQUEUE = text(
    """
    INSERT INTO jobs
        (id, queue, kind, tenant_id, key, dedupe, payload, state, priority, run_at, max_attempts, trace_id)
    VALUES (
        :id, :queue, :kind, :tenant_id, CAST(:key AS text), :dedupe, :payload,
        CASE WHEN EXISTS (
            SELECT FROM jobs WHERE queue = :queue AND key = CAST(:key AS text) AND state IN ('ready', 'running')
        ) THEN 'waiting' ELSE 'ready' END,
        :priority, coalesce(CAST(:run_at AS timestamptz), now()), :max_attempts, :trace_id
    )
    ON CONFLICT (queue, dedupe) WHERE state IN ('ready', 'waiting', 'running') DO NOTHING
    RETURNING id
    """
).bindparams(bindparam("payload", type_=JSONB))

_DUPLICATE = text(
    "SELECT id FROM jobs WHERE queue = :queue AND dedupe = :dedupe AND state IN ('ready', 'waiting', 'running')"
)

_STATS = text(
    """
    SELECT queue,
        count(*) FILTER (WHERE state IN ('ready', 'waiting')) AS depth,
        count(*) FILTER (WHERE state = 'running') AS pending,
        count(*) FILTER (WHERE state = 'dead') AS dead,
        coalesce(extract(epoch FROM now() - min(run_at) FILTER (WHERE state = 'ready' AND run_at <= now())), 0)
            AS oldest_age_seconds
    FROM jobs WHERE queue = ANY(:queues) AND state <> 'done' GROUP BY queue
    """
)

# A statement per state: a state that is a parameter keeps PostgreSQL from using the partial indexes.
_LIST = {
    state: text(
        f"""
        SELECT {COLUMNS} FROM jobs
        WHERE queue = :queue AND {f"state = '{state}'" if state else "true"}
            AND (CAST(:before AS bigint) IS NULL OR sequence < :before)
        ORDER BY sequence DESC LIMIT :limit
        """  # noqa: S608 - constants
    )
    for state in ("", *STATES)
}

_GET = text(f"SELECT {COLUMNS} FROM jobs WHERE id = :id")  # noqa: S608 - a constant

_REQUEUE = text(
    f"""
    UPDATE jobs SET
        state = CASE WHEN EXISTS (
            SELECT FROM jobs head
            WHERE head.queue = jobs.queue AND head.key = jobs.key AND head.state IN ('ready', 'running')
        ) THEN 'waiting' ELSE 'ready' END,
        max_attempts = attempts + :attempts, run_at = now(), finish_time = NULL
    WHERE id = :id AND state = 'dead' RETURNING {COLUMNS}
    """  # noqa: S608 - a constant
)

_DROP = text("DELETE FROM jobs WHERE id = :id AND state = :state RETURNING id")

_KEYS = text(
    """
    SELECT DISTINCT key FROM jobs
    WHERE queue = :queue AND state IN ('ready', 'waiting', 'dead') AND (key = :key OR starts_with(key, :key || '/'))
    ORDER BY key
    """
)

_DROP_KEYS = text(
    "DELETE FROM jobs WHERE queue = :queue AND state IN ('ready', 'waiting', 'dead') AND key = ANY(:keys)"
)


async def enqueue(
    connection: AsyncConnection,
    queue: str,
    kind: str,
    payload: Mapping[str, Any],
    *,
    tenant_id: str = "default",
    key: str | None = None,
    dedupe: str | None = None,
    run_at: datetime | None = None,
    priority: int = 0,
    max_attempts: int = 8,
) -> str:
    """Add a job in the caller's transaction; call `kit.queue.wake.notify` after it if a second's delay is too long.

    Args:
        connection: in a transaction, READ COMMITTED.
        queue: name of the queue, by custom the room's.
        kind: chooses the handler.
        payload: JSON; ids, not speech.
        tenant_id: for the handler's own queries.
        key: jobs of one queue and key run one after another, in the order in which they were enqueued; a dead one
            lets the next pass. Several keys in one transaction: in sorted order, or two of them may deadlock.
        dedupe: while a job of the queue with this value is unfinished, running ones included, no other is added. Put
            the revision of what the job reads into it.
        run_at: not before; now if None.
        priority: higher ones are claimed first.
        max_attempts: claims after which it is dead, crashes of the worker included.

    Returns:
        The id of the new job, or of the unfinished one with the same `dedupe`.
    """
    position = trace_context.current()
    values = {
        "id": new_id(),
        "queue": queue,
        "kind": kind,
        "tenant_id": tenant_id,
        "key": key,
        "dedupe": dedupe,
        "payload": dict(payload),
        "priority": priority,
        "run_at": run_at,
        "max_attempts": max_attempts,
        "trace_id": position.trace_id if position else "",
    }
    await lock_key(connection, queue, key)
    for _ in range(5):  # the other one may finish between our insert and our look
        for statement in (_ENQUEUE, _DUPLICATE):
            job_id = (await connection.execute(statement, values)).scalar_one_or_none()
            if job_id is not None:
                return str(job_id)
    raise Aborted("a job with the same dedupe value comes and goes", queue=queue)


async def read_stats(connection: AsyncConnection, queues: Sequence[str]) -> list[QueueStats]:
    """Count each of the queues, empty ones too, in the order given."""
    rows = (await connection.execute(_STATS, {"queues": list(queues)})).all()
    known = {
        row.queue: QueueStats(row.queue, row.depth, row.pending, row.dead, float(row.oldest_age_seconds))
        for row in rows
    }
    return [known.get(queue, QueueStats(queue, 0, 0, 0, 0.0)) for queue in queues]


async def list_jobs(
    connection: AsyncConnection, queue: str, *, state: str = "", before: int | None = None, limit: int = 50
) -> list[Job]:
    """Return the queue's jobs, newest first, those in one of STATES only if `state` names it.

    `before` is the `sequence` of the last one of the page before.
    """
    values = {"queue": queue, "before": before, "limit": limit}
    return [Job.of(row) for row in await connection.execute(_LIST[state], values)]


async def get_job(connection: AsyncConnection, job_id: str) -> Job:
    """Return one job.

    Raises:
        JobNotFound: it does not exist, or no longer.
    """
    row = (await connection.execute(_GET, {"id": job_id})).one_or_none()
    if row is None:
        raise JobNotFound(job_id=job_id)
    return Job.of(row)


async def requeue(connection: AsyncConnection, job_id: str, *, expected_state: str = "dead", attempts: int = 8) -> Job:
    """Give a dead job this many more attempts; it keeps its place in the order of its key.

    Raises:
        JobNotFound: it does not exist.
        JobStateChanged: it is not dead, or not in `expected_state`, or an equal job (`dedupe`) is unfinished.
    """
    job = await get_job(connection, job_id)
    if expected_state != "dead":
        raise JobStateChanged("only dead jobs are requeued", job_id=job_id, expected="dead", actual=job.state)
    await lock_key(connection, job.queue, job.key)
    try:
        async with connection.begin_nested():
            row = (await connection.execute(_REQUEUE, {"id": job_id, "attempts": attempts})).one_or_none()
    except IntegrityError:
        raise JobStateChanged("an equal job is unfinished", job_id=job_id, expected="dead", actual="dead") from None
    if row is None:
        raise await _state_changed(connection, job_id, expected_state)
    return Job.of(row)


async def drop(connection: AsyncConnection, job_id: str, *, expected_state: str = "dead") -> None:
    """Remove a job that does not run: a dead one, or one that has not begun.

    Raises:
        JobNotFound: it does not exist.
        JobStateChanged: it is not in `expected_state`, or runs, or is done.
    """
    job = await get_job(connection, job_id)
    if expected_state not in ("dead", "ready", "waiting"):
        raise JobStateChanged(
            "a job that runs or is done is not dropped", job_id=job_id, expected="dead", actual=job.state
        )
    await lock_key(connection, job.queue, job.key)
    gone = await connection.execute(_DROP, {"id": job_id, "state": expected_state})
    if gone.one_or_none() is None:
        raise await _state_changed(connection, job_id, expected_state)
    if expected_state == "ready":
        await promote_next(connection, job.queue, job.key)


async def drop_key(connection: AsyncConnection, queue: str, key: str) -> int:
    """Remove every job of a key, and of keys below it (`key/...`), that does not run and is not done.

    For the caller's transaction that deletes what they are about; returns how many there were.
    """
    keys = sorted({key, *(await connection.scalars(_KEYS, {"queue": queue, "key": key}))})
    for each in keys:
        await lock_key(connection, queue, each)
    gone = await connection.execute(_DROP_KEYS, {"queue": queue, "keys": keys})
    return gone.rowcount


async def _state_changed(connection: AsyncConnection, job_id: str, expected: str) -> JobStateChanged:
    actual = (await get_job(connection, job_id)).state
    return JobStateChanged(job_id=job_id, expected=expected, actual=actual)
