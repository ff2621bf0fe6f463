"""A session in a call that keeps its audio until it is fetched: it is joined, pulled from again and again, and left.

Somebody else decides when (`services.connector.reconciliation.live_pull`); the session does it, one pull at a time.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from kit.clock import monotonic
from kit.errors import Unavailable
from kit.telemetry import logs
from services.connector.breakers.breakers import Breakers
from services.connector.errors import ProviderBreakerOpen
from services.connector.notices.notice import Notices
from services.connector.provider import (
    CallRefused,
    ChunkSink,
    Heard,
    JoinSpec,
    ProviderAway,
    Pulled,
    PullProvider,
    PullSource,
    SourceLost,
)
from services.connector.sessions.record import Ledger, Record, State
from services.connector.sessions.session import Order, Session, SessionOptions, Turn
from services.connector.uplink.uplink import MeetingOver, UplinkRefused

_PULL_SECONDS = 60.0
_STATUS_SECONDS = 10.0
"""Silence of a call after which the provider is asked whether the recorder is in it."""
_RETRY_SECONDS = 1.0

log = logs.get()


class Chunks(ChunkSink, Protocol):
    """Takes chunks to the end of the meeting."""

    async def finish(self) -> None:
        """Nothing more will be put.

        Raises:
            Unavailable: ingest is away; it may be called again.
            UplinkRefused: ingest takes nothing for this meeting.
        """


class HandedOver(asyncio.CancelledError):
    """Goes through a source's block so that the recorder stays in the call: another replica goes on with it."""


class NotInCall(Exception):
    """There is nothing to pull from now; the message says why."""


class PullSession(Session):
    """One recorder in one call that keeps its audio until it is fetched.

    Args:
        record: as kept in the ledger, created or claimed.
        provider: joins the call.
        breakers: guard the provider.
        chunks: makes the way to ingest.
        ledger: keeps the record.
        notices: keep who was told of the recording and who withdrew.
        options: bounds.
    """

    def __init__(
        self,
        record: Record,
        provider: PullProvider,
        breakers: Breakers,
        chunks: Callable[[JoinSpec, str], Chunks],
        ledger: Ledger,
        notices: Notices,
        options: SessionOptions,
    ) -> None:
        super().__init__(record, ledger, notices, options)
        self._provider = provider
        self._breakers = breakers
        self._chunks = chunks
        self._source: PullSource | None = None
        self._pulling = asyncio.Lock()
        self._over: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._heard_at = monotonic()
        self.failures = 0
        """Runs of live pull in a row that failed; counted there, forgotten when a pull succeeds."""
        self.pulled_at = 0.0
        """When it was last pulled from, on the monotonic clock; 0 before."""
        self.confirmed_at = monotonic()
        """When the provider last showed that the recorder is in the call, on the monotonic clock."""

    @property
    def participants(self) -> Sequence[Heard]:
        """Who is in the call as far as the provider says."""
        return self._source.participants if self._source else ()

    @property
    def overflowed_samples(self) -> int:
        """Nothing: what ingest does not take stays at the provider."""
        return 0

    @property
    def base(self) -> str:
        """Address that the provider's breaker guards."""
        return self._provider.base(self.spec)

    def withdraw(self, participant_id: str) -> bool:
        """Store nothing that a participant says from this moment on."""
        return self._source.withdraw(participant_id) if self._source else False

    async def pull(self, limit: int) -> Pulled:
        """Fetch at most `limit` chunks and store them, and remember where the next pull goes on.

        Raises:
            NotInCall: the recorder is not in the call now.
            ProviderBreakerOpen: the provider is left alone for a while.
            ProviderAway: it failed; its breaker has counted that.
            SourceLost: it does not know the call any more, or refuses; the session ends.
            Unavailable: ingest is away.
        """
        async with self._pulling:
            source = self._source
            if source is None:
                raise NotInCall(self.record.reason or "the recorder is not in the call")
            self.pulled_at = monotonic()
            await self._breakers.admit(self.record.provider, self.base)
            try:
                pulled = await self._fetch(source, limit)
            except TimeoutError:
                raise await self._failed(ProviderAway(f"no answer within {_PULL_SECONDS:g} s")) from None
            except ProviderAway as away:
                raise await self._failed(away) from away
            except SourceLost as lost:
                self._end(Turn(str(lost), state=State.FAILED))
                raise
            except MeetingOver as over:
                self._end(Turn(str(over)))
                raise NotInCall(str(over)) from over
            except UplinkRefused as refused:
                self._end(Turn(f"ingest refused the audio ({refused})", state=State.FAILED))
                raise NotInCall(str(refused)) from refused
            await self._breakers.succeeded(self.record.provider, self.base)
            self.failures, self.confirmed_at = 0, monotonic()
            return pulled

    async def confirm(self) -> None:
        """Ask the provider whether the recorder is still in the call, and join it again if not.

        Raises:
            ProviderAway: it does not say.
        """
        async with self._pulling:
            source = self._source
            if source is None:
                return
            try:
                status = await source.status()
            except CallRefused as refused:
                self._end(Turn(str(refused), state=State.FAILED))
                return
            self._follow(status)

    async def _attend(self) -> Turn:
        end = await self._stays(self._stay, [self._over])
        if end.order in (Order.GIVE_UP, Order.HAND_OVER) or (not self._entered and end.state is State.FAILED):
            return end
        self._move(State.LEAVING, end.reason)
        return await self._finish(end)

    async def _stay(self) -> Turn:
        """Be in the call once."""
        name, spec = self.record.provider, self.spec
        base = self._provider.base(spec)
        try:
            await self._breakers.admit(name, base)
        except ProviderBreakerOpen as open_breaker:
            return Turn(str(open_breaker), lost=True, wait_seconds=open_breaker.retry_after_seconds or 0.0)
        turn: Turn | None = None
        rejoin = self._resumed or self._entered
        chunks = self._chunks(spec, name)
        try:
            async with self._provider.open_pull(spec, chunks, self, rejoin=rejoin) as source:
                await self._breakers.succeeded(name, base)
                self._enter(source)
                turn = await self._until_over()
                if turn.order in (Order.HAND_OVER, Order.GIVE_UP):
                    raise HandedOver
                if turn.order is not Order.RECONNECT:
                    self._move(State.LEAVING, turn.reason)
                async with self._pulling:  # the provider fetches the last chunks on the way out
                    self._source = None
        except HandedOver:
            assert turn is not None
        except ProviderAway as away:
            await self._breakers.failed(name, base, away)
            turn = turn or Turn(str(away), lost=True)
        except SourceLost as lost:
            turn = turn or Turn(str(lost), state=State.FAILED)
        finally:
            self._source = None
        return turn

    def _enter(self, source: PullSource) -> None:
        self._source = source
        self._heard_at = self.confirmed_at = monotonic()
        self.failures = 0
        if not self._entry.is_set():
            self.entered()
        self._begin()
        self._move(State.LIVE, "")

    async def _until_over(self) -> Turn:
        ordered = asyncio.create_task(self._ordered.wait(), name="connector.session.ordered")
        try:
            await asyncio.wait((ordered, self._over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ordered.cancel()
        return self._over.result() if self._over.done() else self._told_to()

    async def _fetch(self, source: PullSource, limit: int) -> Pulled:
        async with asyncio.timeout(_PULL_SECONDS):
            pulled = await source.pull(limit)
        if pulled.cursor and pulled.cursor != self.record.cursor:
            # What is stored is known by its key: a cursor that is not written down costs duplicates, nothing more.
            self.record = replace(self.record, cursor=pulled.cursor, met=self.record.met or bool(source.participants))
            self._changed.set()
        if pulled.fetched:
            self._heard_at = monotonic()
        elif monotonic() - self._heard_at > _STATUS_SECONDS:
            self._heard_at = monotonic()
            async with asyncio.timeout(_PULL_SECONDS):
                self._follow(await source.status())
        return pulled

    def _follow(self, status: str) -> None:
        match status:
            case "ended":
                self._end(Turn("the call is over"))
            case "disconnected":
                self.reconnect("the provider says that the recorder is not in the call")
            case _:
                self.confirmed_at = monotonic()

    def _end(self, turn: Turn) -> None:
        if not self._over.done():
            self._over.set_result(turn)

    async def _failed(self, away: ProviderAway) -> ProviderAway:
        await self._breakers.failed(self.record.provider, self.base, away)
        return away

    async def _finish(self, end: Turn) -> Turn:
        """Tell ingest that nothing more will come."""
        chunks, seconds = self._chunks(self.spec, self.record.provider), self._options.finish_seconds
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        await chunks.finish()
                        return end
                    except Unavailable:
                        await asyncio.sleep(_RETRY_SECONDS)
        except MeetingOver:
            return end
        except UplinkRefused as refused:
            return Turn(f"ingest refused the audio ({refused})", state=State.FAILED)
        except TimeoutError:
            return Turn(f"the end did not reach ingest within {seconds:g} s", state=State.FAILED)
