"""Decodes of all streams: a few workers, and one queue in front of them, finals first.

On a CPU a worker is one thread and takes one window at a time; on a GPU one worker takes windows of many calls in one
decode. Nobody waits for a batch to fill: it fills by itself while the one before is decoded.

A stream has at most a few finals and one interim in the queue, so the queue is bounded by the number of streams. A
newer interim of a stream takes the place of the older one; finals are never dropped. A final that nobody waits for yet,
of a recording or of a stream that catches up, leaves the way to interims until it is due.
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
from services.stt.engines.engine import Hypothesis, Mode, SpeechEngine, Window
from services.stt.ledger import Ledger
from services.stt.load import MOST_STRETCH, Forecast

INTERIM_PATIENCE_SECONDS = 1.0
"""An interim that waited longer is not worth decoding: the next one is coming."""
PRESSING_SECONDS = 2.0
"""A final that is due within this time goes before every interim."""
_SLOW_QUEUE_SECONDS = 0.25
"""Age of the queue that doubles the time between interims, again for as much more."""
_NOTICED_STRETCH = 1.5
_LOAD_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class PoolStats:
    """How busy the workers are."""

    finals_queued: int
    interims_queued: int
    final_age_seconds: float
    """Since when the oldest waiting final waits."""
    interim_age_seconds: float
    load: float
    """Share of the workers' time in use over the last ten seconds, in [0, 1]."""
    interims_dropped: int
    """Since the start."""

    @property
    def queued(self) -> int:
        """Decodes waiting."""
        return self.finals_queued + self.interims_queued

    @property
    def queue_age_seconds(self) -> float:
        """Since when the oldest waiting decode waits."""
        return max(self.final_age_seconds, self.interim_age_seconds)


@dataclass(slots=True)
class _Job:
    window: Window
    tenant: str
    stretch: float | None
    """How much rarer than wanted interims were when it was asked for; None for what is not live."""
    queued_at: float
    answer: "asyncio.Future[Hypothesis | None]" = field(repr=False)


class DecodePool:
    """The queue and its workers; made by `open_pool`."""

    def __init__(self, engine: SpeechEngine, ledger: Ledger, forecast: Forecast) -> None:
        self.forecast = forecast
        """What the room's live tracks cost."""
        self._engine = engine
        self._ledger = ledger
        self._workers = engine.capabilities.workers
        self._batch = engine.capabilities.batch
        self._finals: list[tuple[float, int, _Job]] = []
        self._interims: dict[str, _Job] = {}
        self._order = itertools.count()
        self._waiting = asyncio.Condition()
        self._running: dict[int, float] = {}
        self._busy: deque[tuple[float, float]] = deque()
        self._interims_dropped = 0

    @property
    def stats(self) -> PoolStats:
        """The numbers of now."""
        now = monotonic()
        return PoolStats(
            finals_queued=len(self._finals),
            interims_queued=len(self._interims),
            final_age_seconds=now - min((job.queued_at for _, _, job in self._finals), default=now),
            interim_age_seconds=now - min((job.queued_at for job in self._interims.values()), default=now),
            load=self._load(now),
            interims_dropped=self._interims_dropped,
        )

    @property
    def workers(self) -> int:
        """Decodes at a time."""
        return self._workers

    @property
    def stretch(self) -> float:
        """How much rarer than wanted interims have to be asked for now, in [1, 5]."""
        # The one that is next waits longest, or nearly; this is asked for with every message of every stream.
        waiting = next(iter(self._interims.values()), None)
        age = monotonic() - waiting.queued_at if waiting else 0.0
        return min(MOST_STRETCH, max(self.forecast.stretch, 1.0 + age / _SLOW_QUEUE_SECONDS))

    @property
    def warning(self) -> str:
        """What the clients of live streams should know; empty when all is well."""
        if self._finals and monotonic() - self._finals[0][2].queued_at > PRESSING_SECONDS:
            return "text comes late"
        return "interims stretched" if self.stretch > _NOTICED_STRETCH else ""

    async def decode_final(self, window: Window, *, due: float, tenant: str = "", live: bool = True) -> Hypothesis:
        """Decode an utterance; finals with an earlier `due` (monotonic seconds) go first.

        Raises:
            EngineFailed: no engine decodes it now.
        """
        job = self._job(window, tenant, 1.0 if live else None)
        async with self._waiting:
            heapq.heappush(self._finals, (due, next(self._order), job))
            self._waiting.notify()
        hypothesis = await job.answer
        assert hypothesis is not None, "finals are never dropped"
        return hypothesis

    async def decode_interim(self, stream: str, window: Window, *, tenant: str = "") -> Hypothesis | None:
        """Decode the beginning of an utterance; None if a newer one replaced it or it waited too long."""
        job = self._job(window, tenant, self.stretch)
        async with self._waiting:
            older = self._interims.get(stream)
            # The newer one takes the older one's place, or a stream would never have its turn.
            self._interims[stream] = job
            if older is not None:
                self._drop(older)
            self._waiting.notify()
        return await job.answer

    async def work(self, executor: ThreadPoolExecutor, worker: int) -> None:
        """Decode jobs one after another, or many at a time, until cancelled."""
        while True:
            jobs = await self._next()
            self._running[worker] = started = monotonic()
            try:
                await self._decode(executor, jobs)
            finally:
                del self._running[worker]
                self._remember(started, monotonic())

    async def _decode(self, executor: ThreadPoolExecutor, jobs: list[_Job]) -> None:
        started = monotonic()
        windows = [job.window for job in jobs]
        try:
            hypotheses = await asyncio.get_running_loop().run_in_executor(executor, self._engine.decode, windows)
        except Exception as error:
            # The edge to foreign code: a window that it cannot decode is its stream's failure, not the pool's.
            if len(jobs) > 1:
                for job in jobs:
                    await self._decode(executor, [job])
            elif not jobs[0].answer.done():
                jobs[0].answer.set_exception(error)
            return
        seconds = monotonic() - started
        metrics.DECODE_SECONDS.labels(windows[0].mode.value).observe(seconds)
        metrics.DECODE_WINDOWS.observe(len(jobs))
        for job, hypothesis in zip(jobs, hypotheses, strict=True):
            if job.stretch is not None:
                self.forecast.decoded(job.window, seconds / len(jobs), stretch=job.stretch, beside=len(jobs))
            self._ledger.charge(job.tenant, job.window, hypothesis)
            if not job.answer.done():
                job.answer.set_result(hypothesis)

    async def _next(self) -> list[_Job]:
        """Wait for the most urgent job; with it come others of its kind, as many as one decode gains from."""
        async with self._waiting:
            while True:
                await self._waiting.wait_for(lambda: self._finals or self._interims)
                jobs: list[_Job] = []
                mode = self._urgent()
                while len(jobs) < self._batch and (self._finals or self._interims) and self._urgent() is mode:
                    job = self._pop(mode)
                    if job is not None:
                        jobs.append(job)
                if jobs:
                    return jobs

    def _urgent(self) -> Mode:
        """Return which kind of job goes first; there is one."""
        if not self._interims:
            return Mode.FINAL
        pressing = self._finals and self._finals[0][0] - monotonic() <= PRESSING_SECONDS
        return Mode.FINAL if pressing else Mode.INTERIM

    def _pop(self, mode: Mode) -> _Job | None:
        """Take the next job of a kind; None if it is not wanted any more."""
        if mode is Mode.FINAL:
            job = heapq.heappop(self._finals)[2]
        else:
            job = self._interims.pop(next(iter(self._interims)))
            if monotonic() - job.queued_at > INTERIM_PATIENCE_SECONDS:
                self._drop(job)
        return None if job.answer.done() else job

    def _drop(self, interim: _Job) -> None:
        if interim.answer.done():
            return
        interim.answer.set_result(None)
        self.forecast.dropped(interim.stretch or 1.0)
        self._interims_dropped += 1
        metrics.INTERIMS_DROPPED.inc()

    def _job(self, window: Window, tenant: str, stretch: float | None) -> _Job:
        return _Job(window, tenant, stretch, monotonic(), asyncio.get_running_loop().create_future())

    def _remember(self, started: float, ended: float) -> None:
        self._busy.append((started, ended))
        while self._busy[0][1] < ended - _LOAD_SECONDS:
            self._busy.popleft()

    def _load(self, now: float) -> float:
        since = now - _LOAD_SECONDS
        spans = [*self._busy, *((started, now) for started in self._running.values())]
        used = sum(max(0.0, end - max(start, since)) for start, end in spans)
        return min(1.0, used / (_LOAD_SECONDS * self._workers))


@asynccontextmanager
async def open_pool(
    engine: SpeechEngine, ledger: Ledger | None = None, forecast: Forecast | None = None
) -> AsyncIterator[DecodePool]:
    """Run the workers for the block; decodes under way at its end are left to finish unheard."""
    workers = engine.capabilities.workers
    pool = DecodePool(engine, ledger or Ledger(), forecast or Forecast(workers))
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
