"""Live pull: chunks that pull providers keep are fetched from the calls that this replica is in, again and again."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kit.clock import now
from kit.db.tenancy import within
from kit.errors import Unavailable
from kit.telemetry import logs
from services.connector import metrics
from services.connector.errors import ProviderBreakerOpen
from services.connector.provider import ProviderAway, Pulled, SourceLost
from services.connector.reconciliation.decision import Action, Decision, DecisionLedger, Source
from services.connector.sessions.pull_session import NotInCall, PullSession

_AT_ONCE = 8
_LONGEST_PAUSE_SECONDS = 10.0

log = logs.get()


class Pulling(Protocol):
    """The sessions of this replica."""

    @property
    def pulling(self) -> Sequence[PullSession]: ...


@dataclass(frozen=True, slots=True)
class LivePullOptions:
    """Bounds of a run.

    `batch_limit` chunks of a session, `sessions_limit` sessions where nobody says; `retries` with a growing pause for a
    provider that is away; a session reconnects after `reconnect_threshold` failed runs in a row, 0 for never.
    """

    batch_limit: int = 50
    sessions_limit: int = 50
    retries: int = 2
    retry_backoff_seconds: float = 0.5
    reconnect_threshold: int = 3


@dataclass(slots=True)
class PullRun:
    """What one run did: sessions looked at, in their call, failed and sent to reconnect, and their chunks."""

    scanned: int = 0
    connected: int = 0
    failed: int = 0
    reconnected: int = 0
    pulled: int = 0
    ingested: int = 0
    invalid_chunks: int = 0
    duplicates: int = 0


class LivePull:
    """Does runs, one at a time.

    Args:
        sessions: of this replica.
        decisions: where reconnects are written down.
        options: bounds.
    """

    def __init__(self, sessions: Pulling, decisions: DecisionLedger, options: LivePullOptions) -> None:
        self._sessions = sessions
        self._decisions = decisions
        self._options = options
        self._running = asyncio.Lock()

    async def run(self, source: Source, *, limit: int = 0, provider: str = "") -> PullRun:
        """Fetch once from every session, those first that waited longest.

        Args:
            source: who asks.
            limit: sessions to look at, at most; the setting if 0.
            provider: to look at; all if empty.
        """
        async with self._running:
            run = PullRun()
            found = [one for one in self._sessions.pulling if provider in ("", one.record.provider)]
            slots = asyncio.Semaphore(_AT_ONCE)
            async with asyncio.TaskGroup() as tasks:
                for session in found[: limit or self._options.sessions_limit]:
                    run.scanned += 1
                    tasks.create_task(self._pull(session, run, source, slots), name="connector.live_pull")
            _show(run, source)
            return run

    async def _pull(self, session: PullSession, run: PullRun, source: Source, slots: asyncio.Semaphore) -> None:
        with within(session.record.tenant_id):
            await self._pull_one(session, run, source, slots)

    async def _pull_one(self, session: PullSession, run: PullRun, source: Source, slots: asyncio.Semaphore) -> None:
        async with slots:
            run.connected += session.record.state.connected
            try:
                pulled = await self._fetch(session)
            except NotInCall:
                return
            except (SourceLost, ProviderBreakerOpen, Unavailable) as error:
                run.failed += 1
                log.info("live_pull_failed", session_id=session.record.session_id, error=str(error))
                if isinstance(error, ProviderAway):
                    await self._reconnect(session, run, source, str(error))
                return
            run.pulled += pulled.fetched
            run.ingested += pulled.stored
            run.duplicates += pulled.duplicates
            run.invalid_chunks += pulled.invalid

    async def _fetch(self, session: PullSession) -> Pulled:
        """Fetch, again and again for a provider that is away, and only for that."""
        pause = self._options.retry_backoff_seconds
        for left in range(self._options.retries, -1, -1):
            try:
                return await session.pull(self._options.batch_limit)
            except ProviderAway as away:
                if not left or not away.retryable:
                    session.failures += 1
                    raise
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_SECONDS, 2 * pause)
        raise AssertionError("the last try returns or raises")

    async def _reconnect(self, session: PullSession, run: PullRun, source: Source, error: str) -> None:
        threshold = self._options.reconnect_threshold
        if not threshold or session.failures < threshold:
            return
        failures, session.failures = session.failures, 0
        run.reconnected += 1
        record = session.record
        session.reconnect(f"{failures} pulls in a row failed")
        decision = Decision(
            provider=record.provider,
            desired="in_call",
            observed=f"{failures} pulls in a row failed",
            action=Action.RECONNECT,
            reason=error,
            source=source,
            time=now(),
            tenant_id=record.tenant_id,
            meeting_id=record.meeting_id,
            session_id=record.session_id,
        )
        try:
            await self._decisions.add(decision)
        except Unavailable:
            log.warning("decision_not_written", session_id=record.session_id)


def _show(run: PullRun, source: Source) -> None:
    result = "failed" if run.scanned and run.failed == run.scanned else "partial" if run.failed else "ok"
    metrics.PULL_RUNS.labels(source.value, result).inc()
    metrics.PULL_SCANNED.set(run.scanned)
    metrics.PULL_CONNECTED.set(run.connected)
    metrics.PULL_PULLED.set(run.pulled)
    metrics.PULL_INGESTED.set(run.ingested)
    metrics.PULL_FAILED.set(run.failed)
    metrics.PULL_INVALID.set(run.invalid_chunks)
