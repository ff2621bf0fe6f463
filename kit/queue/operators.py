"""The queues of a room as its operators see and mend them: counts, pages of jobs, orders that bear repetition."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from agent.ops.v1 import ops_service_pb2 as ops
from kit.db.engine import Database, DatabaseUnavailable
from kit.db.tenancy import across_tenants
from kit.ops.sources import JobOrder
from kit.queue import queue as jobs
from kit.queue.counting import count_queues
from kit.queue.errors import JobNotFound, QueueNotFound, RequestIdReused
from kit.queue.job import Job, QueueStats
from kit.queue.wake import notify


class Answers(Protocol):
    """Remembers what a request with a request_id was answered."""

    async def recall(self, connection: AsyncConnection, scope: str, request_id: str) -> Mapping[str, Any] | None:
        """Return the earlier answer; in the caller's transaction, before which equal requests wait for each other."""

    async def remember(
        self, connection: AsyncConnection, scope: str, request_id: str, answer: Mapping[str, Any]
    ) -> None:
        """Keep the answer with what the transaction did."""


class RoomQueues:
    """The queues that a room works on: what OpsService tells of them and does to their jobs."""

    def __init__(self, database: Database, queues: Sequence[str], answers: Answers) -> None:
        self._database = database
        self._queues = tuple(queues)
        self._answers = answers

    async def queues(self) -> list[ops.QueueStatus]:
        """Count every queue; one that cannot be counted has `error` set."""
        return [_status(stats) for stats in await count_queues(self._database, self._queues)]

    async def page(self, queue: str, state: str, before: int | None, limit: int) -> list[Job]:
        """See `kit.ops.sources.Jobs`."""
        if queue not in self._queues:
            raise QueueNotFound(queue=queue)
        async with self._transaction() as connection:
            return await jobs.list_jobs(connection, queue, state=state, before=before, limit=limit)

    async def requeue(self, order: JobOrder) -> Job:
        """See `kit.ops.sources.Jobs`."""
        async with self._transaction() as connection:
            if await self._repeated(connection, "RequeueJob", order):
                return await self._ours(connection, order)
            await self._ours(connection, order)
            job = await jobs.requeue(connection, order.job_id, expected_state=order.expected_state)
            await self._remember(connection, "RequeueJob", order)
        with suppress(DatabaseUnavailable):  # then a worker finds it a second later
            await notify(self._database, job.queue)
        return job

    async def drop(self, order: JobOrder) -> Job | None:
        """See `kit.ops.sources.Jobs`."""
        async with self._transaction() as connection:
            if await self._repeated(connection, "DropJob", order):
                return None
            job = await self._ours(connection, order)
            await jobs.drop(connection, order.job_id, expected_state=order.expected_state)
            await self._remember(connection, "DropJob", order)
        return job

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction on the queues, which operators see whole."""
        with across_tenants():
            async with self._database.begin() as connection:
                yield connection

    async def _ours(self, connection: AsyncConnection, order: JobOrder) -> Job:
        job = await jobs.get_job(connection, order.job_id)
        if job.queue not in self._queues or order.queue not in ("", job.queue):
            raise JobNotFound(job_id=order.job_id)
        return job

    async def _repeated(self, connection: AsyncConnection, scope: str, order: JobOrder) -> bool:
        if not order.request_id:
            return False
        answer = await self._answers.recall(connection, scope, order.request_id)
        if answer is not None and answer.get("jobId") != order.job_id:
            raise RequestIdReused(request_id=order.request_id)
        return answer is not None

    async def _remember(self, connection: AsyncConnection, scope: str, order: JobOrder) -> None:
        if order.request_id:
            await self._answers.remember(connection, scope, order.request_id, {"jobId": order.job_id})


def _status(stats: QueueStats) -> ops.QueueStatus:
    return ops.QueueStatus(
        queue=stats.queue,
        depth=stats.depth,
        pending=stats.pending,
        dead=stats.dead,
        oldest_age_seconds=round(stats.oldest_age_seconds),
        error=stats.error,
    )
