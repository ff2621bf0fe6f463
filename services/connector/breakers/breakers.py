"""The breakers of this mesh: what stands between a session and its provider, and what operators do about it."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from kit.clock import now
from kit.errors import Unavailable
from kit.telemetry import logs
from services.connector import metrics
from services.connector.breakers.breaker import Breaker, BreakerChange, BreakerState, Refused
from services.connector.errors import ProviderBreakerOpen, StateChanged
from services.connector.provider import ProviderAway

_WORST = (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED)

log = logs.get()


class BreakerStore(Protocol):
    """Keeps breakers for all replicas; see `services.connector.breakers.repository`. Methods raise Unavailable."""

    async def change(
        self, name: str, base: str, rule: Callable[[Breaker, datetime], Breaker], reason: str
    ) -> Breaker: ...

    async def succeeded(self, name: str, base: str) -> None: ...

    async def all(self, name: str = "") -> Sequence[Breaker]: ...

    async def history(self, name: str) -> Sequence[BreakerChange]: ...

    async def now(self) -> datetime: ...


class Breakers:
    """One breaker per provider and base. A provider without a base has none, and everything goes through.

    Without a database everything goes through as well: a breaker spares a provider, it does not guard a recording.
    """

    def __init__(self, store: BreakerStore) -> None:
        self._store = store

    async def admit(self, provider: str, base: str) -> None:
        """Let a call to a provider through.

        Raises:
            ProviderBreakerOpen: not now; it says when.
        """
        if not base:
            return
        try:
            await self._store.change(name_of(provider), base, lambda breaker, moment: breaker.admit(moment), "probe")
        except Refused as refused:
            raise ProviderBreakerOpen(provider=provider, retry_after_seconds=max(0.1, refused.seconds)) from None
        except Unavailable:
            log.info("breaker_not_asked", provider=provider)

    async def check(self, provider: str, base: str) -> None:
        """Say at once that a call would not get through, without making one.

        Raises:
            ProviderBreakerOpen: it would not; it says when.
        """
        if not base:
            return
        try:
            there = [one for one in await self._store.all(name_of(provider)) if one.base == base]
            for breaker in there:
                breaker.admit(await self._store.now())
        except Refused as refused:
            raise ProviderBreakerOpen(provider=provider, retry_after_seconds=max(0.1, refused.seconds)) from None
        except Unavailable:
            log.info("breaker_not_asked", provider=provider)

    async def succeeded(self, provider: str, base: str) -> None:
        """Note that a call brought what it should."""
        metrics.healthy(provider, True)
        if base:
            try:
                await self._store.succeeded(name_of(provider), base)
            except Unavailable:
                log.info("breaker_not_told", provider=provider)

    async def failed(self, provider: str, base: str, error: Exception) -> None:
        """Note that a call failed; only a provider that is away counts."""
        if not isinstance(error, ProviderAway):
            return
        metrics.healthy(provider, False)
        if not base:
            return
        try:
            after = await self._store.change(
                name_of(provider), base, lambda breaker, moment: breaker.failed(moment, str(error)), "failures"
            )
        except Unavailable:
            log.info("breaker_not_told", provider=provider)
            return
        if after.state is BreakerState.OPEN:
            log.warning("breaker_open", provider=provider, failures=after.failures, error=after.last_error)

    async def find(self, provider: str) -> Breaker:
        """Return a provider's breaker; of several, the one that is worst."""
        return worst(await self._store.all(name_of(provider)), name_of(provider))

    async def history(self, provider: str) -> Sequence[BreakerChange]:
        """Return the latest changes of state, newest first."""
        return await self._store.history(name_of(provider))

    async def all(self) -> Sequence[Breaker]:
        """Return the worst breaker of each provider that ever needed one."""
        found = await self._store.all()
        return [worst([one for one in found if one.name == name], name) for name in sorted({b.name for b in found})]

    async def reset(self, provider: str, expected_state: str) -> Breaker:
        """Close a provider's breakers because an operator says so.

        Raises:
            StateChanged: the breaker is in another state than the operator saw.
        """
        there = await self.find(provider)
        if expected_state and there.state != expected_state:
            raise StateChanged(expected=expected_state, actual=there.state.value)
        await self._close(await self._store.all(name_of(provider)), "operator", "manual")
        return await self.find(provider)

    async def reset_aged(self, least_age: timedelta, limit: int, provider: str = "") -> Sequence[Breaker]:
        """Close breakers that have let nothing through for `least_age`; returns them as they were."""
        found = await self._store.all(name_of(provider) if provider else "")
        moment = await self._store.now()
        aged = [one for one in found if one.state is not BreakerState.CLOSED and moment - one.since >= least_age]
        await self._close(aged[:limit], "worker", "age")
        return aged[:limit]

    async def _close(self, breakers: Sequence[Breaker], source: str, reason: str) -> None:
        for breaker in breakers:
            if breaker.state is BreakerState.CLOSED and not breaker.failures:
                continue
            await self._store.change(breaker.name, breaker.base, lambda one, moment: one.closed(moment), reason)
            metrics.BREAKER_RESETS.labels(source, reason).inc()
            log.info("breaker_reset", breaker=breaker.name, source=source, reason=reason)


def name_of(provider: str) -> str:
    """Return the name of a provider's breaker."""
    return f"connector.{provider}"


def worst(breakers: Sequence[Breaker], name: str) -> Breaker:
    """Return the breaker that lets least through; one that was never needed is closed."""
    placed = sorted(breakers, key=lambda one: (_WORST.index(one.state), -one.failures))
    return placed[0] if placed else Breaker(name, "", now())
