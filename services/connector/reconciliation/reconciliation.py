"""Reconciliation: sessions whose connector is gone are taken up, broken providers are tried again.

Each session is taken by one replica: claiming its row gives it the next epoch and fences whoever had it before. It goes
on as the same session, on the same timeline, in a new audio session at ingest, whose account shows the time away as
lost.
"""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol

from kit.clock import monotonic, now
from kit.db.tenancy import across_tenants, within
from kit.errors import AppError, Unavailable
from kit.telemetry import logs
from services.connector import metrics
from services.connector.breakers.breakers import Breakers, name_of
from services.connector.provider import SourceLost
from services.connector.reconciliation.decision import Action, Decision, DecisionLedger, Source
from services.connector.registry import Registry
from services.connector.sessions.record import Ledger, Record, State, Transition, Wish
from services.connector.sessions.session import Session
from services.connector.sessions.sessions import Sessions

_REJOIN_SECONDS = 5.0
"""Time that a run waits for a session that it took up; the session itself goes on trying."""
_AT_ONCE = 8
_PROBE_SECONDS = 10.0

log = logs.get()


class Meetings(Protocol):
    """Knows whether meetings are running; see `services.connector.reconciliation.meetings`."""

    async def over(self, record: Record) -> str: ...


@dataclass(frozen=True, slots=True)
class ReconcileOptions:
    """Bounds of a run.

    `limit` of sessions, where nobody says; a session that nobody saw for `give_up_seconds` is given up; a breaker that
    lets nothing through for `breaker_age_seconds` is closed, unless that is None. After the database was away, owners
    get `lease_seconds` to say that they live.
    """

    limit: int = 50
    give_up_seconds: float = 900.0
    breaker_age_seconds: float | None = 300.0
    lease_seconds: float = 10.0


@dataclass(slots=True)
class Reconciled:
    """What one run did."""

    scanned: int = 0
    rejoined: int = 0
    failed: int = 0
    breakers_reset: int = 0
    decisions: list[Decision] = field(default_factory=list)


class Reconciliation:
    """Does runs, one at a time.

    Args:
        sessions: of this replica.
        ledger: keeps the records of all.
        breakers: guard the providers.
        decisions: where they are written down.
        meetings: know what is still running.
        registry: the providers.
        options: bounds.
    """

    def __init__(
        self,
        sessions: Sessions,
        ledger: Ledger,
        breakers: Breakers,
        decisions: DecisionLedger,
        meetings: Meetings,
        registry: Registry,
        options: ReconcileOptions,
    ) -> None:
        self._sessions = sessions
        self._ledger = ledger
        self._breakers = breakers
        self._decisions = decisions
        self._meetings = meetings
        self._registry = registry
        self._options = options
        self._running = asyncio.Lock()
        self._blind_until = 0.0

    async def run(self, source: Source, *, limit: int = 0, provider: str = "") -> Reconciled:
        """Look at stale sessions and old breakers once.

        Args:
            source: who asks.
            limit: sessions to look at, at most; the setting if 0.
            provider: to look at; all if empty.

        Raises:
            Unavailable: the database is away.
        """
        async with self._running:
            done = Reconciled()
            try:
                await self._reset_breakers(done, source, provider)
                # Looked at by their own connector, which only was too slow to say so.
                ours = {session.record.session_id for session in self._sessions.active}
                with across_tenants():
                    found = await self._ledger.stale((limit or self._options.limit) + len(ours), provider)
                stale = [record for record in found if record.session_id not in ours][: limit or self._options.limit]
            except Unavailable:
                self._blind_until = monotonic() + self._options.lease_seconds
                raise
            done.scanned = len(stale)
            if stale and monotonic() < self._blind_until and source is Source.WORKER:
                return done  # their owners were cut off as we were, and get the time to say that they live
            slots = asyncio.Semaphore(_AT_ONCE)
            async with asyncio.TaskGroup() as tasks:
                for record in stale:
                    tasks.create_task(self._settle(record, done, source, slots), name="connector.reconcile")
            return done

    async def probe(self, provider: str) -> None:
        """Ask a provider whether it answers, for the gauge.

        Raises:
            ProviderUnknown: there is none of this name.
            ProviderDisabled: it is not switched on.
            SourceLost: it does not, or refuses us.
        """
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._registry.provider(provider).probe()
        except TimeoutError:
            metrics.healthy(provider, False)
            raise SourceLost(f"no answer within {_PROBE_SECONDS:g} s") from None
        except SourceLost:
            metrics.healthy(provider, False)
            raise
        metrics.healthy(provider, True)

    async def _settle(self, record: Record, done: Reconciled, source: Source, slots: asyncio.Semaphore) -> None:
        with within(record.tenant_id):
            await self._settle_one(record, done, source, slots)

    async def _settle_one(self, record: Record, done: Reconciled, source: Source, slots: asyncio.Semaphore) -> None:
        async with slots:
            try:
                decision, back = await self._decide(record, source)
            except Unavailable as error:
                self._blind_until = monotonic() + self._options.lease_seconds
                log.info("reconciliation_waits", session_id=record.session_id, error=str(error))
                return
            except AppError as error:
                log.info("not_for_this_replica", session_id=record.session_id, error=str(error))
                if source is Source.WORKER:  # it would say so every few seconds
                    done.failed += 1
                    return
                decision, back = _decision(record, source, "in_call", Action.NONE, str(error)), False
            if decision is None:
                return
            if decision.desired == "in_call":
                done.rejoined += back
                done.failed += not back
                metrics.REJOINS.labels("rejoined" if back else "failed").inc()
            await self._note(decision, done)

    async def _decide(self, record: Record, source: Source) -> tuple[Decision | None, bool]:
        """Settle one stale session.

        Returns:
            What was decided, None if another replica was faster; and whether the recorder is back in the call.
        """
        if record.state is State.LEAVING or record.wish is Wish.LEAVE:
            return await self._close(record, source, State.ENDED, "it was on its way out"), False
        over = await self._meetings.over(record)
        if over:
            return await self._close(record, source, State.ENDED, over), False
        unseen = _unseen_seconds(record)
        if unseen > self._options.give_up_seconds:
            return await self._close(record, source, State.FAILED, f"nobody took it up for {unseen:.0f} s"), False
        self._registry.provider(record.provider)  # known and switched on, or it stays for a replica where it is
        taken = await self._ledger.claim(record, f"taken up after {unseen:.0f} s without its connector")
        if taken is None:
            return None, False
        back, reason = await _came_back(self._sessions.take_up(taken))
        return _decision(record, source, "in_call", Action.REJOIN, reason), back

    async def _close(self, record: Record, source: Source, state: State, reason: str) -> Decision | None:
        """Write a session off; a call that keeps its audio is left for it as well."""
        taken = await self._ledger.claim(record, reason)
        if taken is None:
            return None
        action = Action.FINISH if state is State.ENDED else Action.FAIL
        installed = self._registry.installed.get(record.provider)
        if action is Action.FINISH and installed is not None and installed.provider is not None:
            self._sessions.take_up(taken, leaving=reason)
        else:
            step = Transition(taken.steps + 1, now(), taken.state, state, reason)
            await self._ledger.save(_ended(taken, step), [step])
        return _decision(record, source, "out_of_call", action, reason)

    async def _reset_breakers(self, done: Reconciled, source: Source, provider: str) -> None:
        age = self._options.breaker_age_seconds
        if age is None:
            return
        for breaker in await self._breakers.reset_aged(timedelta(seconds=age), self._options.limit, provider):
            done.breakers_reset += 1
            moment = now()
            decision = Decision(
                provider=breaker.name.removeprefix(name_of("")),
                desired="closed",
                observed=f"{breaker.state.value} for {(moment - breaker.since).total_seconds():.0f} s",
                action=Action.RESET,
                reason="its age",
                source=source,
                time=moment,
            )
            with across_tenants():  # it is on a provider, and no tenant's
                await self._note(decision, done)

    async def _note(self, decision: Decision, done: Reconciled) -> None:
        done.decisions.append(decision)
        log.info("decided", action=decision.action.value, observed=decision.observed, session_id=decision.session_id)
        try:
            await self._decisions.add(decision)
        except Unavailable as error:
            log.warning("decision_not_written", error=str(error))


async def _came_back(session: Session) -> tuple[bool, str]:
    """Return whether a rejoin brought the recorder back, and what came of it as far as can be said now."""
    try:
        async with asyncio.timeout(_REJOIN_SECONDS):
            await session.in_call.wait()
    except TimeoutError:
        return False, f"not yet: {session.record.reason or 'on its way in'}"
    match session.record.state:
        case State.FAILED:
            return False, f"not yet: {session.record.reason}"
        case State.ENDED:
            return True, session.record.reason
    return True, "back in the call"


def _decision(record: Record, source: Source, desired: str, action: Action, reason: str) -> Decision:
    return Decision(
        provider=record.provider,
        desired=desired,
        observed=f"{record.state.value}, unseen for {_unseen_seconds(record):.0f} s",
        action=action,
        reason=reason,
        source=source,
        time=now(),
        tenant_id=record.tenant_id,
        meeting_id=record.meeting_id,
        session_id=record.session_id,
    )


def _unseen_seconds(record: Record) -> float:
    return max(0.0, (now() - (record.last_seen_time or record.update_time)).total_seconds())


def _ended(record: Record, step: Transition) -> Record:
    return replace(
        record, state=step.after, reason=step.reason, update_time=step.time, end_time=step.time, steps=step.ordinal
    )
