"""A worker of one queue: claims jobs, runs their handlers, keeps their leases, settles what came of them."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from prometheus_client import Counter, Gauge

from kit.clock import monotonic
from kit.db.engine import Database, DatabaseUnavailable
from kit.errors import AppError
from kit.queue import claims
from kit.queue.backoff import Backoff
from kit.queue.errors import GiveUp, Postpone, describe
from kit.queue.job import Job
from kit.queue.queue import read_stats
from kit.queue.wake import listen
from kit.telemetry import logs, traces
from kit.telemetry.trace_context import TraceContext

Handler = Callable[[Job], Awaitable[None]]

JOBS = Counter("agent_queue_jobs", "Jobs that a worker of this process is through with.", ["queue", "kind", "outcome"])
DEPTH = Gauge("agent_queue_depth", "Jobs in the queue, done ones aside.", ["queue", "state"])
OLDEST = Gauge("agent_queue_oldest_age_seconds", "Age of the job that has been due longest.", ["queue"])

_DONE_KEPT_SECONDS = 7 * 24 * 3600.0
_LAST_WRITE_SECONDS = 10.0
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
) -> AsyncIterator["Worker"]:
    """Work on a queue for the block; at its end no more jobs are claimed and those that run get time to finish.

    A handler that returns has done its job; one that raises is tried again after a rest, until the attempts are used
    up. It may run again after it did its work (a crash before the last write), so its effects must bear repetition.
    It is cancelled when its lease is lost, when it takes too long, and at the end of the grace; in that last case
    the job goes back uncounted.

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
    """
    worker = Worker(
        database, queue, handlers, concurrency, lease_seconds, poll_seconds, job_seconds, backoff or Backoff()
    )
    async with asyncio.TaskGroup() as tasks:
        claiming = tasks.create_task(worker._claim(tasks), name=f"queue.{queue}.claim")
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

    async def _claim(self, tasks: asyncio.TaskGroup) -> None:
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
                    self._start(job, asked + self._lease_seconds, tasks)
            await _first(self._wake, self._poll_seconds)

    async def _take(self, limit: int) -> list[Job]:
        async with self._database.begin() as connection:
            return await claims.claim(
                connection, self._queue, self._handlers.keys(),
                worker=self.name, lease_seconds=self._lease_seconds, limit=limit,
            )  # fmt: skip

    def _start(self, job: Job, lease_ends: float, tasks: asyncio.TaskGroup) -> None:
        handler = tasks.create_task(self._handle(job), name=f"queue.{self._queue}.{job.kind}")
        running = _Running(job, handler, lease_ends)
        self._running[job.id] = running
        running.task = tasks.create_task(self._see_through(running), name=f"queue.{self._queue}.settle")

    async def _handle(self, job: Job) -> _Outcome:
        parent = TraceContext(job.trace_id, "") if job.trace_id else None
        try:
            with (
                logs.bind(queue=job.queue, job_id=job.id, job_kind=job.kind),
                traces.span(f"{job.queue}.{job.kind}", parent=parent),
            ):
                async with asyncio.timeout(self._job_seconds):
                    await self._handlers[job.kind](job)
        except Exception as error:
            return _Outcome(error)
        return _Outcome()

    async def _see_through(self, running: _Running) -> None:
        """Wait for the handler and write down what came of it."""
        job, handler = running.job, running.handler
        try:
            await asyncio.wait({handler})
            if running.lost:
                outcome = "lost"
            elif handler.cancelled():
                outcome = await self._write(lambda: self._put_back(job))
            else:
                error = handler.result().error
                outcome = await self._write(lambda: self._settle(job, error))
            JOBS.labels(job.queue, job.kind, outcome).inc()
        finally:
            del self._running[job.id]
            self._wake.set()

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
        rest = self._backoff.seconds(job.attempts)
        async with self._database.begin() as connection:
            match error:
                case None:
                    outcome = "done" if await claims.complete(connection, job) else "lost"
                case Postpone():
                    put_back = await claims.release(connection, job, rest_seconds=error.seconds, error=describe(error))
                    outcome = "postponed" if put_back else "lost"
                case GiveUp():
                    outcome = "dead" if await claims.bury(connection, job, error=describe(error)) else "lost"
                case _:
                    if isinstance(error, AppError):
                        rest = max(rest, error.retry_after_seconds or 0.0)
                    state = await claims.fail(connection, job, rest_seconds=rest, error=describe(error))
                    outcome = {"ready": "retry", "dead": "dead", None: "lost"}[state]
        if error is not None and not isinstance(error, Postpone):
            write = log.error if outcome == "dead" else log.warning
            write(
                "job_failed", job_id=job.id, queue=job.queue, job_kind=job.kind, trace_id=job.trace_id,
                attempts=job.attempts, outcome=outcome, error=describe(error),
                exc_info=None if isinstance(error, AppError | GiveUp) else error,
            )  # fmt: skip
        return outcome

    async def _put_back(self, job: Job) -> str:
        async with self._database.begin() as connection:
            return "released" if await claims.release(connection, job) else "lost"

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            mine = list(self._running.values())
            if not mine:
                continue
            asked = monotonic()
            try:
                async with asyncio.timeout(self._lease_seconds / 3), self._database.begin() as connection:
                    kept = await claims.extend(
                        connection, [one.job for one in mine], worker=self.name, lease_seconds=self._lease_seconds
                    )
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
                async with self._database.begin() as connection:
                    await claims.prune(connection, self._queue, after_seconds=_DONE_KEPT_SECONDS)
                    (stats,) = await read_stats(connection, [self._queue])
            except DatabaseUnavailable as error:
                log.warning("queue_unavailable", queue=self._queue, error=describe(error))
            else:
                for state, count in (("waiting", stats.depth), ("running", stats.pending), ("dead", stats.dead)):
                    DEPTH.labels(self._queue, state).set(count)
                OLDEST.labels(self._queue).set(stats.oldest_age_seconds)
            await asyncio.sleep(self._lease_seconds / 3)

    async def _reclaim(self) -> None:
        async with self._database.connect() as connection:
            expired = await claims.find_expired(connection, self._queue)
        for job in expired:
            async with self._database.begin() as connection:
                state = await claims.expire(connection, job)
            if state is not None:
                log.warning("job_reclaimed", job_id=job.id, queue=job.queue, attempts=job.attempts, state=state)
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
