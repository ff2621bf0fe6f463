"""Decodes of all streams: workers of one thread each, and one queue in front of them, finals first.

A stream has at most a few finals and one interim in the queue, so the queue is bounded by the number of streams. A
newer interim of a stream replaces the older one; finals are never dropped. A final that nobody waits for yet, of a
recording or of a stream that catches up, leaves the way to interims until it is due.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from kit.clock import monotonic
from services.stt import metrics
from services.stt.engines.engine import Hypothesis, SpeechEngine, Window
from services.stt.ledger import Ledger

INTERIM_PATIENCE_SECONDS = 1.0
"""An interim that waited longer is not worth decoding: the next one is coming."""
PRESSING_SECONDS = 2.0
"""A final that is due within this time goes before every interim."""
_LOAD_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """How busy the workers are."""

    queued: int
    queue_age_seconds: float
    """Since when the oldest waiting decode waits."""
    load: float
    """Share of the workers' time in use over the last ten seconds, in [0, 1]."""


@dataclass(slots=True)
class _Job:
    window: Window
    tenant: str
    queued_at: float
    answer: "asyncio.Future[Hypothesis | None]" = field(repr=False)


class DecodePool:
    """The queue and its workers; made by `open_pool`."""

    def __init__(self, engine: SpeechEngine, workers: int, ledger: Ledger) -> None:
        self._engine = engine
        self._ledger = ledger
        self._workers = workers
        self._finals: list[tuple[float, int, _Job]] = []
        self._interims: dict[str, _Job] = {}
        self._order = itertools.count()
        self._waiting = asyncio.Condition()
        self._running: dict[int, float] = {}
        self._busy: deque[tuple[float, float]] = deque()

    @property
    def stats(self) -> PoolStats:
        """The numbers of now."""
        now = monotonic()
        queued = [job.queued_at for _, _, job in self._finals] + [job.queued_at for job in self._interims.values()]
        return PoolStats(
            queued=len(queued),
            queue_age_seconds=now - min(queued) if queued else 0.0,
            load=self._load(now),
        )

    @property
    def workers(self) -> int:
        """Decodes at a time."""
        return self._workers

    async def decode_final(self, window: Window, *, due: float, tenant: str = "") -> Hypothesis:
        """Decode an utterance; finals with an earlier `due` (monotonic seconds) go first.

        Raises:
            EngineFailed: no engine decodes it now.
        """
        job = self._job(window, tenant)
        async with self._waiting:
            heapq.heappush(self._finals, (due, next(self._order), job))
            self._waiting.notify()
        hypothesis = await job.answer
        assert hypothesis is not None, "finals are never dropped"
        return hypothesis

    async def decode_interim(self, stream: str, window: Window, *, tenant: str = "") -> Hypothesis | None:
        """Decode the beginning of an utterance; None if a newer one replaced it or it waited too long."""
        job = self._job(window, tenant)
        async with self._waiting:
            older = self._interims.pop(stream, None)
            if older is not None and not older.answer.done():
                self._drop(older)
            self._interims[stream] = job
            self._waiting.notify()
        return await job.answer

    async def work(self, executor: ThreadPoolExecutor, worker: int) -> None:
        """Decode jobs one after another until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            job = await self._next()
            started = self._running[worker] = monotonic()
            try:
                [hypothesis] = await loop.run_in_executor(executor, self._engine.decode, [job.window])
            except Exception as error:
                # The edge to foreign code: a window that it cannot decode is its stream's failure, not the pool's.
                if not job.answer.done():
                    job.answer.set_exception(error)
            else:
                self._ledger.charge(job.tenant, job.window, hypothesis)
                if not job.answer.done():
                    job.answer.set_result(hypothesis)
            finally:
                del self._running[worker]
                self._busy.append((started, monotonic()))
                metrics.DECODE_SECONDS.labels(job.window.mode.value).observe(monotonic() - started)

    async def _next(self) -> _Job:
        async with self._waiting:
            while True:
                await self._waiting.wait_for(lambda: self._finals or self._interims)
                job = self._pop()
                if job is not None:
                    return job

    def _pop(self) -> _Job | None:
        """Take the most urgent job; None if it is not wanted any more."""
        pressing = self._finals and (not self._interims or self._finals[0][0] - monotonic() <= PRESSING_SECONDS)
        if pressing:
            job = heapq.heappop(self._finals)[2]
        else:
            job = self._interims.pop(next(iter(self._interims)))
            if monotonic() - job.queued_at > INTERIM_PATIENCE_SECONDS and not job.answer.done():
                self._drop(job)
        return None if job.answer.done() else job

    def _drop(self, interim: _Job) -> None:
        interim.answer.set_result(None)
        metrics.INTERIMS_DROPPED.inc()

    def _job(self, window: Window, tenant: str) -> _Job:
        return _Job(window, tenant, monotonic(), asyncio.get_running_loop().create_future())

    def _load(self, now: float) -> float:
        since = now - _LOAD_SECONDS
        while self._busy and self._busy[0][1] < since:
            self._busy.popleft()
        spans = [*self._busy, *((started, now) for started in self._running.values())]
        used = sum(end - max(start, since) for start, end in spans)
        return min(1.0, used / (_LOAD_SECONDS * self._workers))


@asynccontextmanager
async def open_pool(engine: SpeechEngine, ledger: Ledger | None = None) -> AsyncIterator[DecodePool]:
    """Run the workers for the block; decodes under way at its end are left to finish unheard."""
    workers = engine.capabilities.workers
    pool = DecodePool(engine, workers, ledger or Ledger())
    executor = ThreadPoolExecutor(workers, thread_name_prefix="stt.decode")
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(pool.work(executor, worker), name=f"stt.worker.{worker}") for worker in range(workers)
            ]
            yield pool
            for task in running:
                task.cancel()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
