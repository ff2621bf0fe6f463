"""A session: the recorder in one call over its whole life, whatever kind of call it is.

    JOINING ──▶ LIVE ◀──▶ DEGRADED
       │         ▲ │          │
       │         │ ▼          ▼
       │       RECONNECTING ──┴──▶ LEAVING ──▶ ENDED
       └───────────┴─────────────────┴──────▶ FAILED

What is special about calls that push their audio and calls that keep it until it is fetched is in `push_session` and
`pull_session`.
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from kit.clock import monotonic, now
from kit.errors import Unavailable
from kit.telemetry import logs
from services.connector.clock import SessionClock
from services.connector.notices.book import NoticeBook, open_notice_book
from services.connector.notices.notice import Call, Notice, Notices
from services.connector.provider import Heard, JoinSpec
from services.connector.rounds import last_round
from services.connector.sessions.record import NEXT_STATES, Ledger, Record, SessionTaken, State, Transition

HEARTBEAT_SECONDS = 3.0
_LEDGER_RETRY_SECONDS = 1.0
_LEDGER_LAST_SECONDS = 10.0
_BACKOFF_SECONDS = (0.5, 15.0)

log = logs.get()


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Bounds of a session.

    `backlog_bytes` of memory for audio under way, `ack_seconds` of silence from ingest, `finish_seconds` for the last
    audio; `rejoin_seconds` to come back into a call that was lost, `empty_room_seconds` in a call that everybody left
    while the recorder was away.
    """

    backlog_bytes: int
    ack_seconds: float
    finish_seconds: float
    rejoin_seconds: float = 120.0
    empty_room_seconds: float = 10.0
    settle_seconds: float = 5.0
    """For the last audio of a session that another replica goes on with."""


class Order(IntEnum):
    """What the session is told to do; a higher one overrides a lower."""

    RECONNECT = 1
    HAND_OVER = 2
    """Get out of the call and leave the session to another replica."""
    LEAVE = 3
    GIVE_UP = 4
    """Another replica has it already."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How one stay in the call came to its end: `order` is what ended it, None if it ended by itself.

    A `lost` call may be joined again; `state` is what the session ends in otherwise. `wait_seconds` is how long trying
    again makes no sense.
    """

    reason: str
    order: Order | None = None
    lost: bool = False
    state: State = State.ENDED
    wait_seconds: float = 0.0


class Session(ABC):
    """One recorder in one call; `run` is its whole life. It is the listener of its sources.

    Args:
        record: as kept in the ledger, created or claimed.
        ledger: keeps it.
        notices: keep who was told of the recording and who withdrew.
        options: bounds.
    """

    def __init__(self, record: Record, ledger: Ledger, notices: Notices, options: SessionOptions) -> None:
        self.record = record
        self.in_call = asyncio.Event()
        """Set when the recorder is in the call, or will never be."""
        self.ended = asyncio.Event()
        """Set when the session is over here and that is written down."""
        self.void = False
        """Whether it never began: the meeting has another session."""
        self._ledger = ledger
        self._keeps_notices = notices
        self._book = NoticeBook()
        self._options = options
        self._clock = SessionClock(start_time_ms=record.start_time_ms)
        self._resumed = record.epoch > 1
        self._entered = False
        self._entry = asyncio.Event()
        self._order: Order | None = None
        self._order_reason = ""
        self._ordered = asyncio.Event()
        self._lost_at: float | None = monotonic() if self._resumed else None
        self._steps: list[Transition] = []
        self._changed = asyncio.Event()
        self._kept = False

    @property
    @abstractmethod
    def participants(self) -> Sequence[Heard]:
        """Who is heard now."""

    @property
    @abstractmethod
    def overflowed_samples(self) -> int:
        """Samples dropped because ingest was away for too long."""

    @abstractmethod
    def withdraw(self, participant_id: str) -> bool:
        """Stop recording a participant from this moment on; returns whether there is one of this id."""

    def withdraw_consent(self, participant_id: str) -> Notice | None:
        """Record nothing more of a participant, who may be out of the call for now; None if nobody knows them."""
        if not self.withdraw(participant_id) and self._book.find(participant_id) is None:
            return None
        return self._book.withdrew(participant_id, self._name_of(participant_id))

    def heed(self, notice: Notice) -> None:
        """Follow a withdrawal that another replica was told of."""
        if self._book.heeds(notice):
            name = self._name_of(notice.participant_id)
            self._book.withdrew(notice.participant_id, name, after=notice.withdrawn_time)
            self.withdraw(notice.participant_id)

    @property
    def notices(self) -> Sequence[Notice]:
        """Who was told of the recording, and who withdrew."""
        return self._book.notices

    @property
    def spec(self) -> JoinSpec:
        """Which call to join, with what is known by now."""
        record = self.record
        return JoinSpec(
            meeting_id=record.meeting_id,
            tenant_id=record.tenant_id,
            meeting_url=record.url,
            language=record.language,
            session_id=record.session_id,
            cursor=record.cursor,
            withdrawn=frozenset(notice.participant_id for notice in self._book.notices if notice.withdrawn),
        )

    @property
    def steps(self) -> Sequence[Transition]:
        """Steps that are not written down yet, oldest first."""
        return tuple(self._steps)

    def begin(self, record: Record) -> None:
        """Take the record that the ledger has of the session, before `run`; it may go on with an earlier timeline."""
        self.record = record
        self._clock = SessionClock(start_time_ms=record.start_time_ms)

    def fail(self, reason: str) -> None:
        """Note that a session that never runs here is over."""
        self._move(State.FAILED, reason)

    def leave(self, reason: str) -> None:
        """Ask the session to end."""
        self._tell(Order.LEAVE, reason)

    def reconnect(self, reason: str) -> None:
        """Ask the session to leave the call and to join it again, on the same timeline."""
        self.in_call.clear()
        self._tell(Order.RECONNECT, reason)

    def hand_over(self, reason: str) -> None:
        """Ask the session to get out of the call and to let another replica go on."""
        self._tell(Order.HAND_OVER, reason)

    def never_began(self) -> None:
        """The meeting has another session: whoever waits for this one has to look for that."""
        self.void = True
        self.in_call.set()
        self.ended.set()

    async def run(self) -> None:
        """Join, record until the call ends or an order comes, finish. Never raises but for a cancellation."""
        with logs.bind(meeting_id=self.record.meeting_id, session_id=self.record.session_id):
            keeping = asyncio.create_task(self._keep_record(), name="connector.session.ledger")
            try:
                end = await self._with_notices()
            except Exception as error:  # the edge of a session: its failure is its own
                log.error("session_crashed", exc_info=error)
                end = Turn("internal error", state=State.FAILED)
            except asyncio.CancelledError:
                keeping.cancel()
                raise
            self._kept = True
            self._changed.set()
            await last_round(keeping)
            if end.order is Order.GIVE_UP:
                log.warning("session_taken", reason=end.reason)
            elif end.order is Order.HAND_OVER:
                self._move(State.RECONNECTING, end.reason)
                await self._keep_last(self._ledger.release)
            else:
                if end.state is State.ENDED:
                    self._move(State.LEAVING, end.reason)
                self._move(end.state, end.reason)
                await self._keep_last(self._ledger.save)
            self.in_call.set()
            self.ended.set()

    def entered(self) -> None:
        """The recorder is in the call."""
        self._entered = True
        self._lost_at = None
        joined = self.record.joined_time or now()
        self.record = replace(self.record, joined_time=joined, attempts=self.record.attempts + 1)
        self._changed.set()
        self._entry.set()
        self.in_call.set()

    def live(self) -> None:
        """Sample 0 is now."""
        self._begin()
        self._move(State.LIVE, "")

    def degraded(self, reason: str) -> None:
        """In, but somebody who is not muted is not heard."""
        self._move(State.DEGRADED, reason)

    def recovered(self) -> None:
        """All is well again."""
        if self.record.state is State.RECONNECTING:
            self.record = replace(self.record, attempts=self.record.attempts + 1)
        self._lost_at = None
        self._move(State.LIVE, "")

    def reconnecting(self, reason: str) -> None:
        """The recorder lost the call and is coming back."""
        self._lose(reason)

    def told(self, participant_id: str, display_name: str, channel: str) -> None:
        """A participant was told of the recording."""
        self._book.told(participant_id, display_name, channel)

    def withdrew(self, participant_id: str) -> None:
        """A participant withdrew from the recording."""
        self._book.withdrew(participant_id, self._name_of(participant_id))

    def consented(self, participant_id: str) -> None:
        """A participant who had withdrawn consents again."""
        self._book.consented(participant_id)

    async def _with_notices(self) -> Turn:
        """Attend with the book of notices open: without it nobody knows who must not be recorded."""
        call = Call(self.record.tenant_id, self.record.meeting_id, self.record.session_id)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(_LEDGER_LAST_SECONDS):
                    while True:
                        try:
                            self._book = await stack.enter_async_context(open_notice_book(self._keeps_notices, call))
                            break
                        except Unavailable:
                            await asyncio.sleep(_LEDGER_RETRY_SECONDS)
            except TimeoutError:
                return Turn("the database does not say who withdrew from the recording", state=State.FAILED)
            return await self._attend()

    @abstractmethod
    async def _attend(self) -> Turn:
        """Be in the call for as long as the session lives; returns how it ends."""

    async def _stays(self, stay: Callable[[], Awaitable[Turn]], over: "Sequence[asyncio.Future[Turn]]" = ()) -> Turn:
        """Stay in the call again and again until the session is to end.

        Args:
            stay: is in the call once; returns how that ended.
            over: what ends the session from outside while the recorder is between two stays.
        """
        shortest, longest = _BACKOFF_SECONDS
        delay = shortest
        while True:
            self._entry.clear()
            turn = await stay()
            if turn.order is Order.RECONNECT:
                self._obeyed(Order.RECONNECT)
                self._lose(turn.reason)
                delay = shortest
                continue
            if not turn.lost or turn.order is not None:
                return turn
            if not self._entered and not self._resumed:
                return replace(turn, state=State.FAILED)
            if self.record.state.connected:
                delay = shortest
            self._lose(turn.reason)
            assert self._lost_at is not None
            patience = self._options.rejoin_seconds - (monotonic() - self._lost_at)
            if patience <= 0:
                return replace(turn, state=State.FAILED)
            pause = max(turn.wait_seconds, random.uniform(delay / 2, delay))  # noqa: S311 - jitter, not a secret
            delay = min(longest, delay * 2)
            ended = await self._pause(min(patience, pause), over)
            if ended is not None:
                return ended

    async def _pause(self, seconds: float, over: "Sequence[asyncio.Future[Turn]]") -> Turn | None:
        """Wait; returns how the session ends if it does meanwhile. A wish to reconnect only ends the waiting."""
        ordered = asyncio.create_task(self._ordered.wait(), name="connector.session.ordered")
        try:
            waiting: list[asyncio.Future[Any]] = [ordered, *over]
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ordered.cancel()
        for each in over:
            if each.done():
                return each.result()
        if self._order is Order.RECONNECT:
            self._obeyed(Order.RECONNECT)
            return None
        return self._told_to() if self._order is not None else None

    def _told_to(self) -> Turn:
        assert self._order is not None
        return Turn(self._order_reason, order=self._order)

    def _tell(self, order: Order, reason: str) -> None:
        if self._order is None or order > self._order:
            self._order, self._order_reason = order, reason
            self._ordered.set()

    def _obeyed(self, order: Order) -> None:
        if self._order is order:
            self._order = None
            self._ordered.clear()

    def _begin(self) -> None:
        """Note where the timeline starts."""
        self._clock.start()
        if self.record.start_time_ms != self._clock.start_time_ms:
            self.record = replace(self.record, start_time_ms=self._clock.start_time_ms)
            self._changed.set()

    def _name_of(self, participant_id: str) -> str:
        heard = (one.display_name for one in self.participants if one.participant_id == participant_id)
        return next(heard, "")

    def _lose(self, reason: str) -> None:
        if self._lost_at is None:
            self._lost_at = monotonic()
        self._move(State.RECONNECTING, reason)

    def _move(self, state: State, reason: str) -> None:
        before = self.record.state
        if state is before or state not in NEXT_STATES[before]:
            return  # what a source notices on the way out changes nothing any more
        moment = now()
        step = Transition(self.record.steps + 1, moment, before, state, reason)
        self._steps.append(step)
        self.record = replace(
            self.record,
            state=state,
            reason=reason,
            update_time=moment,
            end_time=moment if state.final else None,
            steps=step.ordinal,
        )
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
            if self._kept:
                return
            if not self.record.met and self.participants:
                self.record = replace(self.record, met=True)
            try:
                await self._keep(self._ledger.save)
            except SessionTaken:
                self._tell(Order.GIVE_UP, "another replica has taken it up, or its meeting was erased")
                return
            except Exception as error:  # the edge of a loop: the call goes on whatever the database says
                if isinstance(error, Unavailable):
                    log.warning("session_not_written", error=str(error))
                else:
                    log.error("session_not_written", exc_info=error)
                self._changed.set()
                await asyncio.sleep(_LEDGER_RETRY_SECONDS)

    async def _keep(self, keep: Callable[[Record, Sequence[Transition]], Awaitable[None]]) -> None:
        steps = tuple(self._steps)
        await keep(self.record, steps)
        del self._steps[: len(steps)]
        self.record = replace(self.record, last_seen_time=now())

    async def _keep_last(self, keep: Callable[[Record, Sequence[Transition]], Awaitable[None]]) -> None:
        """Write the end down; without a database for 10 s the row stays as it was, and its lease runs out."""
        try:
            async with asyncio.timeout(_LEDGER_LAST_SECONDS):
                while True:
                    try:
                        return await self._keep(keep)
                    except Unavailable:
                        await asyncio.sleep(_LEDGER_RETRY_SECONDS)
        except SessionTaken:
            log.warning("session_end_not_ours")
        except TimeoutError:
            log.error("session_end_not_written")
