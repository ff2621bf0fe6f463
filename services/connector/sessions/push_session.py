"""A session in a call that pushes its audio: one uplink from the first sample to the last, over every stay in the call.

A stay is one source. Between two of them tracks are left open, and what lies between is a gap because the recorder was
away.
"""

import asyncio
from collections.abc import Sequence

import grpc

from kit.clock import monotonic
from services.connector.breakers.breakers import Breakers
from services.connector.errors import ProviderBreakerOpen
from services.connector.notices.notice import Notices
from services.connector.provider import Heard, Provider, ProviderAway, Source, SourceLost
from services.connector.sessions.record import Ledger, Record, State
from services.connector.sessions.session import Order, Session, SessionOptions, Turn
from services.connector.uplink.uplink import MeetingOver, Uplink, UplinkRefused, open_uplink

_LOOK_SECONDS = 0.25


class PushSession(Session):
    """One recorder in one call that pushes its audio.

    Args:
        record: as kept in the ledger, created or claimed.
        provider: joins the call.
        breakers: guard the provider.
        channel: to ingest.
        ledger: keeps the record.
        notices: keep who was told of the recording and who withdrew.
        options: bounds.
    """

    def __init__(
        self,
        record: Record,
        provider: Provider,
        breakers: Breakers,
        channel: grpc.aio.Channel,
        ledger: Ledger,
        notices: Notices,
        options: SessionOptions,
    ) -> None:
        super().__init__(record, ledger, notices, options)
        self._provider = provider
        self._breakers = breakers
        self._channel = channel
        self._uplink: Uplink | None = None
        self._source: Source | None = None
        self._end_sample: int | None = None

    @property
    def participants(self) -> Sequence[Heard]:
        """Who is heard now."""
        return self._source.participants if self._source else ()

    @property
    def overflowed_samples(self) -> int:
        """Samples dropped because ingest was away for too long."""
        return self._uplink.overflowed_samples if self._uplink else 0

    def withdraw(self, participant_id: str) -> bool:
        """Stop recording a participant from this moment on."""
        return self._source.withdraw(participant_id) if self._source else False

    def entered(self) -> None:
        """The recorder is in the call; a timeline that began before simply goes on."""
        super().entered()
        assert self._uplink is not None
        self._uplink.back()
        if self._clock.started:
            self._begin()
            self._move(State.LIVE, "")

    def _begin(self) -> None:
        super()._begin()
        assert self._uplink is not None
        self._uplink.begin(self._clock.start_time_ms)

    async def _attend(self) -> Turn:
        record, options = self.record, self._options
        spec = self.spec
        async with open_uplink(
            self._channel,
            spec,
            record.audio_session_id,
            backlog_bytes=options.backlog_bytes,
            ack_seconds=options.ack_seconds,
        ) as uplink:
            self._uplink = uplink
            refused = asyncio.create_task(_refused(uplink), name="connector.session.uplink")
            try:
                end = await self._stays(lambda: self._stay(uplink, refused), [refused])
            finally:
                refused.cancel()
                await asyncio.gather(refused, return_exceptions=True)
            if end.order is Order.GIVE_UP or (not self._entered and end.state is State.FAILED):
                return end
            if self._resumed and not self._entered and end.order is Order.LEAVE:
                return end  # nothing was heard since an earlier connector's session, which ingest finishes
            if end.order is Order.HAND_OVER:
                await self._settle(uplink)
                return end
            return await self._finish(uplink, end)

    async def _stay(self, uplink: Uplink, refused: "asyncio.Task[Turn]") -> Turn:
        """Be in the call once."""
        if self._order is Order.LEAVE and self._resumed and not self._entered:
            return self._told_to()  # nobody has to see the recorder come only to go
        spec, name = self.spec, self.record.provider
        base = self._provider.base(spec)
        try:
            await self._breakers.admit(name, base)
        except ProviderBreakerOpen as open_breaker:
            return Turn(str(open_breaker), lost=True, wait_seconds=open_breaker.retry_after_seconds or 0.0)
        resumed = self._clock.started
        entering = asyncio.create_task(self._note_entry(base), name="connector.session.entry")
        try:
            async with self._provider.open_source(spec, self._clock, uplink, self) as source:
                self._source = source
                turn = await self._until_over(source, refused, resumed=resumed)
                if turn.lost or turn.order in (Order.RECONNECT, Order.HAND_OVER, Order.GIVE_UP):
                    source.abandon()
                    uplink.away()
                else:
                    self._move(State.LEAVING, turn.reason)
                    self._end_sample = source.finish()
        except ProviderAway as away:
            turn = Turn(str(away), lost=True)
            await self._breakers.failed(name, base, away)
        except SourceLost as lost:
            turn = Turn(str(lost), state=State.FAILED)
        finally:
            self._source = None
            entering.cancel()
            await asyncio.gather(entering, return_exceptions=True)
        return turn

    async def _until_over(self, source: Source, refused: "asyncio.Task[Turn]", *, resumed: bool) -> Turn:
        """Wait for an order, the end of the call, or a failure."""
        ordered = asyncio.create_task(self._ordered.wait(), name="connector.session.ordered")
        calling = asyncio.create_task(source.over(), name="connector.session.call")
        looking = asyncio.create_task(self._until_deserted(source, resumed=resumed), name="connector.session.deserted")
        waiting = (ordered, calling, looking)
        try:
            await asyncio.wait((*waiting, refused), return_when=asyncio.FIRST_COMPLETED)
            if refused.done():
                return refused.result()
            if calling.done():
                return await self._judge(calling)
            if looking.done():
                return Turn(looking.result())
            return self._told_to()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _judge(self, calling: "asyncio.Task[str]") -> Turn:
        try:
            return Turn(calling.result())
        except ProviderAway as away:
            await self._breakers.failed(self.record.provider, self._provider.base(self.spec), away)
            return Turn(str(away), lost=True)
        except SourceLost as lost:
            return Turn(str(lost), state=State.FAILED)

    async def _until_deserted(self, source: Source, *, resumed: bool) -> str:
        """Return once a call that was joined again turns out to have been left by everybody meanwhile."""
        if resumed and self.record.met:
            await self._entry.wait()
            since = monotonic()
            while not source.participants:
                if monotonic() - since > self._options.empty_room_seconds:
                    return "everyone left while the recorder was away"
                await asyncio.sleep(_LOOK_SECONDS)
        return await asyncio.Future()  # somebody is there: the source itself will say when they have left

    async def _note_entry(self, base: str) -> None:
        await self._entry.wait()
        await self._breakers.succeeded(self.record.provider, base)

    async def _settle(self, uplink: Uplink) -> None:
        """Bring what there is to ingest's disk; what is left over is lost, and the coverage will say so."""
        try:
            async with asyncio.timeout(self._options.settle_seconds):
                await uplink.settled()
        except TimeoutError:
            pass

    async def _finish(self, uplink: Uplink, end: Turn) -> Turn:
        self._move(State.LEAVING, end.reason)
        self._begin()
        # A session that ends while the recorder is out of the call ends now: its people may still be there.
        uplink.end(max(self._clock.sample() if self._end_sample is None else self._end_sample, uplink.position))
        seconds = self._options.finish_seconds
        try:
            async with asyncio.timeout(seconds):
                await uplink.over()
        except MeetingOver as over:
            return Turn(str(over))
        except UplinkRefused as refused:
            return Turn(f"ingest refused the audio ({refused})", state=State.FAILED)
        except TimeoutError:
            return Turn(f"the last audio did not reach ingest within {seconds:g} s", state=State.FAILED)
        return end


async def _refused(uplink: Uplink) -> Turn:
    """Wait until ingest takes nothing more; returns how the session ends."""
    try:
        await uplink.over()
    except MeetingOver as over:
        return Turn(str(over))
    except UplinkRefused as refused:
        return Turn(f"ingest refused the audio ({refused})", state=State.FAILED)
    return Turn("the session is on disk")
