"""A worker of one queue: claims jobs, runs their handlers, keeps their leases, settles what came of them."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from prometheus_client import Counter, Gauge
from sqlalchemy.ext.asyncio import AsyncConnection

from kit.clock import monotonic
from kit.db.engine import Database, DatabaseUnavailable
from kit.db.tenancy import across_tenants, within
from kit.errors import AppError
from kit.queue import claims
from kit.queue.backoff import Backoff
from kit.queue.counting import count_queues
from kit.queue.errors import GiveUp, JobLost, Postpone, describe
from kit.queue.job import Job
from kit.queue.wake import listen
from kit.telemetry import logs, traces
from kit.telemetry.trace_context import TraceContext

Handler = Callable[[Job], Awaitable[Collection[str] | None]]
"""Does a job; may return the ids of the jobs that follow from it, which an inline worker then runs at once."""
Burial = Callable[[AsyncConnection, Job, str], Awaitable[None]]
"""Writes down, in the transaction in which a job dies, what that means; gets the job and its last error."""

JOBS = Counter("agent_queue_jobs", "Jobs that a worker of this process is through with.", ["queue", "kind", "outcome"])
DEPTH = Gauge("agent_queue_depth", "Jobs in the queue, done ones aside.", ["queue", "state"])
OLDEST = Gauge("agent_queue_oldest_age_seconds", "Age of the job that has been due longest.", ["queue"])

_DONE_KEPT_SECONDS = 7 * 24 * 3600.0
_LAST_WRITE_SECONDS = 10.0
_COUNT_SECONDS = 5.0
_RECONNECT_SECONDS = 1.0

log = logs.get()


@asynccontextmanager
async def open_worker(
    database: Database,
    queue: str,
    handlers: Mapping[str, Handler],
    *,
    concurrency: int = 4,
    lease_seconds: float = 30.0,
    poll_seconds: float = 1.0,
    grace_seconds: float = 15.0,
    job_seconds: float = 3600.0,
    backoff: Backoff | None = None,
    on_dead: Burial | None = None,
    inline: bool = False,
) -> AsyncIterator["Worker"]:
    """Work on a queue for the block; at its end no more jobs are claimed and those that run get time to finish.

    A handler that returns has done its job; one that raises is tried again after a rest, until the attempts are used
    up. It may run again after it did its work (a crash before the last write), so its effects must bear repetition.
    It works within its job's tenant. It is cancelled when its lease is lost, when it takes too long, and at the end of
    the grace; in that last case the job goes back uncounted.

    Args:
        database: pool with at least three connections to spare.
        queue: name of the queue.
        handlers: by kind of job; other kinds are left for workers that know them.
        concurrency: jobs at once.
        lease_seconds: time after which the jobs of a dead worker go to another; leases are renewed at a third of it.
        poll_seconds: time between two looks for due jobs, when nobody calls.
        grace_seconds: time for running jobs at the end of the block; none if the block raised.
        job_seconds: time that one handler may take.
        backoff: how long failed jobs rest.
        on_dead: called before a job is written off, whatever it died of.
        inline: run what follows from a job in the same task, right after it, instead of leaving it to any worker.
    """
    worker = Worker(
        database, queue, handlers, concurrency, lease_seconds, poll_seconds, job_seconds, backoff or Backoff(),
        on_dead, inline,
    )  # fmt: skip
    async with asyncio.TaskGroup() as tasks:
        worker._tasks = tasks
        claiming = tasks.create_task(worker._claim(), name=f"queue.{queue}.claim")
        others = [
            tasks.create_task(worker._keep_leases(), name=f"queue.{queue}.leases"),
            tasks.create_task(worker._sweep(), name=f"queue.{queue}.sweep"),
            tasks.create_task(worker._listen(), name=f"queue.{queue}.listen"),
        ]
        grace = 0.0
        try:
            yield worker
            grace = grace_seconds
        finally:
            await worker._stop(claiming, grace)
            for task in others:
                task.cancel()


@dataclass(slots=True, eq=False)
class _Running:
    job: Job
    handler: asyncio.Task["_Outcome"]
    lease_ends: float
    """By our clock, counted from before the request that renewed it."""
    lost: bool = False
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    error: Exception | None = None
    following: Collection[str] = ()


class Worker:
    """A worker at work; `name` is what its jobs' `worker` column says."""

    def __init__(
        self,
        database: Database,
        queue: str,
        handlers: Mapping[str, Handler],
        concurrency: int,
        lease_seconds: float,
        poll_seconds: float,
        job_seconds: float,
        backoff: Backoff,
        on_dead: Burial | None,
        inline: bool,
    ) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._database = database
        self._queue = queue
        self._handlers = handlers
        self._concurrency = concurrency
        self._lease_seconds = lease_seconds
        self._poll_seconds = poll_seconds
        self._job_seconds = job_seconds
        self._backoff = backoff
        self._on_dead = on_dead
        self._inline = inline
        self._tasks: asyncio.TaskGroup | None = None
        self._running: dict[str, _Running] = {}
        self._wake = asyncio.Event()
        self._stopping = False

    @property
    def running(self) -> list[Job]:
        """The jobs that run now."""
        return [running.job for running in self._running.values()]

    def wake(self) -> None:
        """Look for due jobs at once."""
        self._wake.set()

    async def run_through(self, job_id: str) -> bool:
        """Run a job that is due now, and what follows from it if the worker is inline, and wait for the end of it.

        A caller that does not wait to the end, being cancelled, ends nothing but its waiting.

        Returns:
            Whether the job was run here; if not, every slot is taken, or it is not due, or somebody else's.
        """
        running = await self._run_one(job_id) if len(self._running) < self._concurrency else None
        if running is None or running.task is None:
            return False
        await asyncio.wait({running.task})
        return True

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction on the queue, which is everybody's."""
        with across_tenants():
            async with self._database.begin() as connection:
                yield connection

    async def _claim(self) -> None:
        while not self._stopping:
            self._wake.clear()
            free = self._concurrency - len(self._running)
            if free > 0:
                asked = monotonic()
                try:
                    jobs = await self._take(free)
                except DatabaseUnavailable as error:
                    log.warning("queue_unavailable", queue=self._queue, error=describe(error))
                    jobs = []
                for job in jobs:
                    self._start(job, asked + self._lease_seconds)
            await _first(self._wake, self._poll_seconds)

    async def _take(self, limit: int) -> list[Job]:
        async with self._transaction() as connection:
            return await claims.claim(
                connection, self._queue, self._handlers.keys(),
                worker=self.name, lease_seconds=self._lease_seconds, limit=limit,
            )  # fmt: skip

    async def _run_one(self, job_id: str) -> _Running | None:
        if self._stopping:
            return None
        asked = monotonic()
        try:
            async with self._transaction() as connection:
                job = await claims.claim_one(
                    connection, self._queue, self._handlers.keys(), job_id,
                    worker=self.name, lease_seconds=self._lease_seconds,
                )  # fmt: skip
        except DatabaseUnavailable as error:
            log.warning("queue_unavailable", queue=self._queue, error=describe(error))
            return None
        if job is None:
            return self._running.get(job_id)  # the look for due jobs was faster
        return self._start(job, asked + self._lease_seconds)

    def _start(self, job: Job, lease_ends: float) -> _Running:
        assert self._tasks is not None
        handler = self._tasks.create_task(self._handle(job), name=f"queue.{self._queue}.{job.kind}")
        running = _Running(job, handler, lease_ends)
        self._running[job.id] = running
        running.task = self._tasks.create_task(self._see_through(running), name=f"queue.{self._queue}.settle")
        return running

    async def _handle(self, job: Job) -> _Outcome:
        parent = TraceContext(job.trace_id, "") if job.trace_id else None
        try:
            with (
                logs.bind(queue=job.queue, job_id=job.id, job_kind=job.kind),
                traces.span(f"{job.queue}.{job.kind}", parent=parent),
                within(job.tenant_id),
            ):
                async with asyncio.timeout(self._job_seconds):
                    following = await self._handlers[job.kind](job)
        except Exception as error:
            return _Outcome(error)
        return _Outcome(following=following or ())

    async def _see_through(self, running: _Running) -> None:
        """Wait for the handler and write down what came of it."""
        job, handler = running.job, running.handler
        following: Collection[str] = ()
        try:
            await asyncio.wait({handler})
            if running.lost:
                outcome = "lost"
            elif handler.cancelled():
                outcome = await self._write(lambda: self._put_back(job))
            else:
                error, following = handler.result().error, handler.result().following
                outcome = await self._write(lambda: self._settle(job, error))
            JOBS.labels(job.queue, job.kind, outcome).inc()
        finally:
            del self._running[job.id]
            if not self._inline:
                self._wake.set()
        if self._inline:
            await self._run_following(following)
            self._wake.set()

    async def _run_following(self, job_ids: Collection[str]) -> None:
        """Run one after another what was enqueued; what cannot be had now is left to the next look for due jobs."""
        for job_id in job_ids:
            running = await self._run_one(job_id)
            if running is not None and running.task is not None:
                await asyncio.wait({running.task})

    async def _write(self, write: Callable[[], Awaitable[str]]) -> str:
        """Write until the database takes it; as long as it is away, nobody else can claim the job either."""
        deadline = monotonic() + (_LAST_WRITE_SECONDS if self._stopping else 3 * self._lease_seconds)
        while True:
            try:
                return await write()
            except DatabaseUnavailable as error:
                if monotonic() > deadline:
                    log.error("job_outcome_unwritten", queue=self._queue, error=describe(error))
                    return "lost"
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _settle(self, job: Job, error: Exception | None) -> str:
        try:
            async with self._transaction() as connection:
                outcome = await self._write_outcome(connection, job, error)
        except JobLost:
            outcome = "lost"
        if error is not None and not isinstance(error, Postpone | JobLost):
            write = log.error if outcome == "dead" else log.warning
            write(
                "job_failed", job_id=job.id, queue=job.queue, job_kind=job.kind, trace_id=job.trace_id,
                attempts=job.attempts, outcome=outcome, error=describe(error),
                exc_info=None if isinstance(error, AppError | GiveUp) else error,
            )  # fmt: skip
        return outcome

    async def _write_outcome(self, connection: AsyncConnection, job: Job, error: Exception | None) -> str:
        """Say what became of a job.

        Raises:
            JobLost: it is no longer ours, nothing must be kept.
        """
        match error:
            case None:
                ours = await claims.complete(connection, job) or job.id in await claims.find_done(connection, [job])
                outcome = "done"
            case JobLost():
                raise error
            case Postpone():
                ours = await claims.release(connection, job, rest_seconds=error.seconds, error=describe(error))
                outcome = "postponed"
            case GiveUp():
                await self._tell_dead(connection, job, describe(error))
                ours = await claims.bury(connection, job, error=describe(error))
                outcome = "dead"
            case _:
                rest = self._backoff.seconds(job.attempts)
                if isinstance(error, AppError):
                    rest = max(rest, error.retry_after_seconds or 0.0)
                if job.attempts >= job.max_attempts:
                    await self._tell_dead(connection, job, describe(error))
                state = await claims.fail(connection, job, rest_seconds=rest, error=describe(error))
                ours = state is not None
                outcome = "dead" if state == "dead" else "retry"
        if not ours:
            raise JobLost
        return outcome

    async def _tell_dead(self, connection: AsyncConnection, job: Job, error: str) -> None:
        """Let the room write down that a job dies, before the job's own row: rows first, the queue last."""
        if self._on_dead is None:
            return
        try:
            async with connection.begin_nested():
                await self._on_dead(connection, job, error)
        except Exception as problem:  # an edge: the job dies all the same
            log.error("job_burial_failed", job_id=job.id, queue=job.queue, job_kind=job.kind, exc_info=problem)

    async def _put_back(self, job: Job) -> str:
        async with self._transaction() as connection:
            return "released" if await claims.release(connection, job) else "lost"

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            mine = list(self._running.values())
            if not mine:
                continue
            asked = monotonic()
            try:
                async with asyncio.timeout(self._lease_seconds / 3), self._transaction() as connection:
                    kept = await claims.extend(
                        connection, [one.job for one in mine], worker=self.name, lease_seconds=self._lease_seconds
                    )
                    if len(kept) < len(mine):  # those whose handlers finished them themselves are not lost
                        kept |= await claims.find_done(connection, [one.job for one in mine])
            except (DatabaseUnavailable, TimeoutError) as error:
                log.warning("leases_not_renewed", queue=self._queue, error=describe(error))
                for one in mine:
                    if monotonic() > one.lease_ends:  # somebody else may have it by now
                        self._lose(one)
                continue
            for one in mine:
                if one.job.id in kept:
                    one.lease_ends = asked + self._lease_seconds
                elif not one.handler.done():  # a done one may just have been settled
                    self._lose(one)

    def _lose(self, running: _Running) -> None:
        if not running.handler.done():
            log.warning("job_lease_lost", job_id=running.job.id, queue=self._queue, attempts=running.job.attempts)
            running.lost = True
            running.handler.cancel()

    async def _sweep(self) -> None:
        """Take jobs from dead workers, forget old done ones, count."""
        while True:
            try:
                await self._reclaim()
                async with self._transaction() as connection:
                    await claims.prune(connection, self._queue, after_seconds=_DONE_KEPT_SECONDS)
            except DatabaseUnavailable as error:
                log.warning("queue_unavailable", queue=self._queue, error=describe(error))
            (stats,) = await count_queues(self._database, [self._queue], seconds=_COUNT_SECONDS)
            if not stats.error:
                for state, count in (("waiting", stats.depth), ("running", stats.pending), ("dead", stats.dead)):
                    DEPTH.labels(self._queue, state).set(count)
                OLDEST.labels(self._queue).set(stats.oldest_age_seconds)
            await asyncio.sleep(self._lease_seconds / 3)

    async def _reclaim(self) -> None:
        async with self._transaction() as connection:
            expired = await claims.find_expired(connection, self._queue)
        for job in expired:
            try:
                async with self._transaction() as connection:
                    if job.attempts >= job.max_attempts:
                        await self._tell_dead(connection, job, claims.WORKER_LOST)
                    state = await claims.expire(connection, job)
                    if state is None:
                        raise JobLost
            except JobLost:  # it was kept or finished after all
                continue
            log.warning("job_reclaimed", job_id=job.id, queue=job.queue, attempts=job.attempts, state=state)
            if state == "dead":
                JOBS.labels(job.queue, job.kind, "dead").inc()
            self._wake.set()

    async def _listen(self) -> None:
        while True:
            try:
                async with aclosing(listen(self._database, self._queue)) as calls:
                    async for _ in calls:
                        self._wake.set()
            except DatabaseUnavailable as error:
                log.warning("queue_unavailable", queue=self._queue, error=describe(error))
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _stop(self, claiming: asyncio.Task[None], grace_seconds: float) -> None:
        self._stopping = True
        self._wake.set()
        await asyncio.wait({claiming}, timeout=_LAST_WRITE_SECONDS)
        settling = {one.task for one in self._running.values() if one.task is not None}
        if settling and grace_seconds > 0:
            await asyncio.wait(settling, timeout=grace_seconds)
        for one in list(self._running.values()):
            one.handler.cancel()
        if settling:
            await asyncio.wait(settling, timeout=2 * _LAST_WRITE_SECONDS)


async def _first(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, but no longer than this."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
