"""The reconciliation worker: a run every few seconds for as long as the connector lives, and one at its start."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kit.clock import monotonic
from kit.errors import AppError, Unavailable
from kit.telemetry import logs
from services.connector import metrics
from services.connector.breakers.breaker import BreakerState
from services.connector.breakers.breakers import Breakers
from services.connector.provider import SourceLost
from services.connector.reconciliation.decision import DecisionLedger, Source
from services.connector.reconciliation.live_pull import LivePull
from services.connector.reconciliation.reconciliation import Reconciliation
from services.connector.registry import Registry
from services.connector.rounds import Rounds, last_round

_PROBE_EVERY_SECONDS = 30.0
_FORGET_EVERY_SECONDS = 3600.0

log = logs.get()


class Worker:
    """Runs reconciliation and live pull side by side, so that a slow provider holds up nobody's return.

    Args:
        reconciliation: takes stale sessions up.
        live_pull: fetches chunks; None if nothing is fetched by itself.
        breakers: for the gauge.
        decisions: old ones are dropped.
        registry: the providers.
    """

    def __init__(
        self,
        reconciliation: Reconciliation,
        live_pull: LivePull | None,
        breakers: Breakers,
        decisions: DecisionLedger,
        registry: Registry,
    ) -> None:
        self._reconciliation = reconciliation
        self._live_pull = live_pull
        self._breakers = breakers
        self._decisions = decisions
        self._registry = registry
        self._forget_at = 0.0
        self._probe_at = 0.0

    async def reconcile(self) -> None:
        """Take up stale sessions."""
        try:
            await self._reconciliation.run(Source.WORKER)
            if monotonic() >= self._forget_at:
                await self._decisions.forget()
                self._forget_at = monotonic() + _FORGET_EVERY_SECONDS
        except Unavailable as error:
            log.info("reconciliation_waits", error=str(error))
        except Exception as error:  # the edge of a loop: one run's trouble is not the next one's
            log.error("reconciliation_crashed", exc_info=error)

    async def pull(self) -> None:
        """Fetch chunks."""
        if self._live_pull is None:
            return
        try:
            await self._live_pull.run(Source.WORKER)
        except Exception as error:  # the edge of a loop: one run's trouble is not the next one's
            metrics.PULL_RUNS.labels(Source.WORKER.value, "failed").inc()
            log.error("live_pull_crashed", exc_info=error)

    async def look(self) -> None:
        """Keep the gauges of the providers that have some true."""
        probing = monotonic() >= self._probe_at
        if probing:
            self._probe_at = monotonic() + _PROBE_EVERY_SECONDS
        for name in filter(metrics.of_sberjazz, self._registry.installed):
            if self._registry.installed[name].provider is None:
                continue
            try:
                if name in (self._registry.default_name, "sberjazz"):
                    metrics.BREAKER_OPEN.set((await self._breakers.find(name)).state is BreakerState.OPEN)
                if probing:
                    await self._reconciliation.probe(name)
            except (SourceLost, AppError) as error:
                log.info("provider_does_not_answer", provider=name, error=str(error))
            except Exception as error:  # the edge of a loop: a gauge is not worth more than a line in the log
                log.error("provider_look_crashed", exc_info=error)


@asynccontextmanager
async def open_worker(worker: Worker, *, interval_seconds: float, enabled: bool) -> AsyncIterator[None]:
    """Let the worker work for the block; what it is not `enabled` for is done by hand.

    Args:
        worker: does the rounds.
        interval_seconds: time between two of them.
        enabled: whether it takes up sessions and fetches chunks by itself.
    """
    work = {"look": worker.look} | ({"reconcile": worker.reconcile, "pull": worker.pull} if enabled else {})
    async with asyncio.TaskGroup() as tasks:
        rounds = {name: Rounds(one, interval_seconds) for name, one in work.items()}
        running = [tasks.create_task(one.run(), name=f"connector.worker.{name}") for name, one in rounds.items()]
        try:
            yield
        finally:
            for one in rounds.values():
                one.stop()
            await last_round(*running)
