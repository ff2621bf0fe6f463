"""A session: the recorder in one call, from joining to the last sample on ingest's disk."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import grpc

from kit.clock import now
from kit.errors import Unavailable
from kit.telemetry import logs
from services.connector.clock import SessionClock
from services.connector.provider import Heard, JoinSpec, Provider, Source, SourceLost
from services.connector.sessions.record import NEXT_STATES, Ledger, Record, State
from services.connector.uplink.uplink import MeetingOver, Uplink, UplinkRefused, open_uplink

HEARTBEAT_SECONDS = 10.0
_LEDGER_RETRY_SECONDS = 1.0
_LEDGER_LAST_SECONDS = 10.0

log = logs.get()


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Bounds of a session: memory for audio under way, ingest's longest silence, time for the last audio."""

    backlog_bytes: int
    ack_seconds: float
    finish_seconds: float


class Session:
    """One recorder in one call; `run` is its whole life. It is the listener of its source.

    Args:
        record: as created in the ledger, joining.
        provider: joins the call.
        channel: to ingest.
        ledger: keeps the record.
        options: bounds.
    """

    def __init__(
        self, record: Record, provider: Provider, channel: grpc.aio.Channel, ledger: Ledger, options: SessionOptions
    ) -> None:
        self.record = record
        self.in_call = asyncio.Event()
        """Set when the recorder is in the call, or will never be."""
        self.ended = asyncio.Event()
        """Set when the session is over and its end is written down."""
        self._provider = provider
        self._channel = channel
        self._ledger = ledger
        self._options = options
        self._clock = SessionClock()
        self._uplink: Uplink | None = None
        self._source: Source | None = None
        self._entered = False
        self._leave_reason = ""
        self._leave = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def participants(self) -> Sequence[Heard]:
        """Who is heard now."""
        return self._source.participants if self._source else ()

    @property
    def overflowed_samples(self) -> int:
        """Samples dropped because ingest was away for too long."""
        return self._uplink.overflowed_samples if self._uplink else 0

    def leave(self, reason: str) -> None:
        """Ask the session to end."""
        if not self._leave.is_set():
            self._leave_reason = reason
            self._leave.set()

    async def run(self) -> None:
        """Join, record until the call ends or `leave`, finish. Never raises but for a cancellation."""
        with logs.bind(meeting_id=self.record.meeting_id, session_id=self.record.session_id):
            keeping = asyncio.create_task(self._keep_record(), name="connector.session.ledger")
            try:
                state, reason = await self._record_call()
            except Exception as error:  # the edge of a session: its failure is its own
                log.error("session_crashed", exc_info=error)
                state, reason = State.FAILED, "internal error"
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
            self._move(state, reason)
            self.in_call.set()
            await self._keep_last()
            self.ended.set()

    def entered(self) -> None:
        """The recorder is in the call."""
        self._entered = True
        self.record = replace(self.record, joined_time=now(), attempts=self.record.attempts + 1)
        self._changed.set()
        self.in_call.set()

    def live(self) -> None:
        """Sample 0 is now."""
        assert self._uplink is not None
        self._uplink.begin(self._clock.start_time_ms)
        self._move(State.LIVE, "")

    def degraded(self, reason: str) -> None:
        """In, but somebody who is not muted is not heard."""
        self._move(State.DEGRADED, reason)

    def recovered(self) -> None:
        """All is well again."""
        if self.record.state is State.RECONNECTING:
            self.record = replace(self.record, attempts=self.record.attempts + 1)
        self._move(State.LIVE, "")

    def reconnecting(self, reason: str) -> None:
        """The recorder lost the call and is coming back."""
        self._move(State.RECONNECTING, reason)

    def told(self, participant_id: str, display_name: str, channel: str) -> None:
        """A participant was told of the recording."""

    def withdrew(self, participant_id: str) -> None:
        """A participant withdrew from the recording."""

    async def _record_call(self) -> tuple[State, str]:
        record, options = self.record, self._options
        spec = JoinSpec(record.meeting_id, record.tenant_id, record.url, record.language, record.session_id)
        async with open_uplink(
            self._channel,
            spec,
            record.session_id,
            backlog_bytes=options.backlog_bytes,
            ack_seconds=options.ack_seconds,
        ) as uplink:
            self._uplink = uplink
            try:
                async with self._provider.open_source(spec, self._clock, uplink, self) as source:
                    self._source = source
                    state, reason = await self._until_over(source, uplink)
                    if not self._entered and state is State.FAILED:
                        return state, reason
                    self._move(State.LEAVING, reason)
                    self._clock.start()
                    uplink.begin(self._clock.start_time_ms)
                    end_sample = source.finish()
            except SourceLost as lost:
                return State.FAILED, str(lost)
            finally:
                self._source = None
            uplink.end(end_sample)
            try:
                async with asyncio.timeout(options.finish_seconds):
                    await uplink.over()
            except MeetingOver as over:
                return State.ENDED, str(over)
            except UplinkRefused as refused:
                return State.FAILED, f"ingest refused the audio ({refused})"
            except TimeoutError:
                return State.FAILED, f"the last audio did not reach ingest within {options.finish_seconds:g} s"
        return state, reason

    async def _until_over(self, source: Source, uplink: Uplink) -> tuple[State, str]:
        """Wait for the wish to leave, the end of the call, or a failure; returns the state to end in and why."""
        leaving = asyncio.create_task(self._leave.wait(), name="connector.session.leave")
        calling = asyncio.create_task(source.over(), name="connector.session.call")
        sending = asyncio.create_task(uplink.over(), name="connector.session.uplink")
        waiting = (leaving, calling, sending)
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                refused = sending.exception()
                if isinstance(refused, MeetingOver):
                    return State.ENDED, str(refused)
                return State.FAILED, f"ingest refused the audio ({refused})"
            if calling.done():
                try:
                    return State.ENDED, calling.result()
                except SourceLost as lost:
                    return State.FAILED, str(lost)
            return State.ENDED, self._leave_reason
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def _move(self, state: State, reason: str) -> None:
        before = self.record.state
        if state is before or state not in NEXT_STATES[before]:
            return  # what a source notices on the way out changes nothing any more
        moment = now()
        end_time = moment if state.final else None
        self.record = replace(self.record, state=state, reason=reason, update_time=moment, end_time=end_time)
        self._changed.set()
        log.info("session_moved", state=state.value, before=before.value, reason=reason)

    async def _keep_record(self) -> None:
        """Write the record down whenever it changes, and now and then as a sign of life."""
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            try:
                await self._ledger.save(self.record)
            except Exception as error:  # the edge of a loop: the call goes on whatever the database says
                if isinstance(error, Unavailable):
                    log.warning("session_not_written", error=str(error))
                else:
                    log.error("session_not_written", exc_info=error)
                self._changed.set()
                await asyncio.sleep(_LEDGER_RETRY_SECONDS)

    async def _keep_last(self) -> None:
        """Write the end down; without a database for 10 s the row stays as it was, and its lease runs out."""
        try:
            async with asyncio.timeout(_LEDGER_LAST_SECONDS):
                while True:
                    try:
                        return await self._ledger.save(self.record)
                    except Unavailable:
                        await asyncio.sleep(_LEDGER_RETRY_SECONDS)
        except TimeoutError:
            log.error("session_end_not_written")
