"""The sessions of this replica: at most one per meeting over all replicas, each a task that fails alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

import grpc

from kit.clock import monotonic, now
from kit.db.tenancy import across_tenants, within
from kit.errors import Unavailable
from kit.ids import new_id
from kit.telemetry import logs
from services.connector.breakers.breakers import Breakers
from services.connector.errors import (
    ParticipantNotFound,
    ProviderFailed,
    SessionElsewhere,
    SessionNotFound,
    StateChanged,
)
from services.connector.notices.notice import Call, Notice, Notices
from services.connector.operations import Operations
from services.connector.provider import Heard, JoinSpec, Provider, ProviderAway, PullProvider
from services.connector.registry import Registry
from services.connector.rounds import Rounds, last_round
from services.connector.sessions.pull_session import Chunks, PullSession
from services.connector.sessions.push_session import PushSession
from services.connector.sessions.record import Ledger, Record, State, Transition, Wish
from services.connector.sessions.session import Session, SessionOptions

JOIN_SECONDS = 15.0
STOP_SECONDS = 12.0
_WISH_SECONDS = 1.0
_ASKED_SECONDS = 20.0
_ASKED_PAUSE_SECONDS = 0.25

log = logs.get()


@dataclass(frozen=True, slots=True)
class Keepers:
    """What keeps sessions and their meetings in order over all replicas.

    `chunks` makes the way to ingest for a call that keeps its audio, given the call and the provider's name.
    """

    ledger: Ledger
    breakers: Breakers
    operations: Operations
    notices: Notices
    chunks: Callable[[JoinSpec, str], Chunks]


class Sessions:
    """Starts, finds and ends sessions; see `open_sessions`."""

    def __init__(
        self,
        registry: Registry,
        channel: grpc.aio.Channel,
        keepers: Keepers,
        options: SessionOptions,
        tasks: asyncio.TaskGroup,
        *,
        idempotent_seconds: float,
    ) -> None:
        self._registry = registry
        self._channel = channel
        self._ledger = keepers.ledger
        self._keepers = keepers
        self._options = options
        self._tasks = tasks
        self._idempotent_seconds = idempotent_seconds
        self._active: dict[tuple[str, str], Session] = {}
        self._running: set[asyncio.Task[None]] = set()

    @property
    def active(self) -> Sequence[Session]:
        """Sessions that are not over."""
        return list(self._active.values())

    @property
    def pulling(self) -> Sequence[PullSession]:
        """Sessions in calls that keep their audio until it is fetched, the longest unfetched first."""
        found = [session for session in self._active.values() if isinstance(session, PullSession)]
        return sorted(found, key=lambda session: session.pulled_at)

    async def join(self, spec: JoinSpec, *, provider: str = "", request_id: str = "") -> Record:
        """Send the recorder into a call; returns once it is in. A meeting that has a session answers with it.

        Raises:
            ProviderUnknown: there is no such provider.
            ProviderDisabled: it is not switched on.
            ProviderFailed: the call cannot be joined.
            ProviderBreakerOpen: the provider is left alone for a while.
            OperationInProgress: the meeting is being joined or left by another replica.
            Unavailable: the database is away.
        """
        name = provider or self._registry.default_name
        joins = self._registry.provider(name)
        session = self._active.get((spec.tenant_id, spec.meeting_id))
        if session is None:
            await self._keepers.breakers.check(name, joins.base(spec))
            session = self._active.get((spec.tenant_id, spec.meeting_id))
        if session is not None:
            await _until(session.in_call)
            if not session.void:
                return self._joined(await self._confirmed(session))
            return await self.join(spec, provider=provider, request_id=request_id)
        moment = now()
        record = Record(
            session_id=new_id(),
            meeting_id=spec.meeting_id,
            tenant_id=spec.tenant_id,
            provider=name,
            url=spec.meeting_url,
            language=spec.language,
            request_id=request_id,
            create_time=moment,
            update_time=moment,
            state=State.JOINING,  # from the first: the database lets one active session per meeting in
        )
        # In the register before the first await: a second call must find it.
        session = self._register(record)
        try:
            async with self._keepers.operations.held(spec.meeting_id, "join"):
                there = await self._create(record)
                if there.session_id == record.session_id:
                    session = self._started(session, there)
                elif there.state.final or there.held:
                    return there
                else:
                    taken = await self._ledger.claim(there, "joined again")
                    if taken is None:
                        return await self._found(there)
                    session.never_began()
                    session = self.take_up(taken)
                await _until(session.in_call)
                return self._joined(session.record)
        finally:
            if session.record.session_id == record.session_id and not session.record.steps:
                self._forget(session)
                session.never_began()

    async def leave(self, tenant_id: str, meeting_id: str, reason: str, *, provider: str = "") -> Record:
        """Take the recorder out and finish the session; a session that is over answers as it is.

        Raises:
            SessionNotFound: the meeting has no session, or none through this provider.
            SessionElsewhere: the replica that holds it did not answer in time.
            OperationInProgress: the meeting is being joined by somebody else.
        """
        reason = reason or "asked to leave"
        record = await self.find(tenant_id, meeting_id, provider)
        session = self._active.get(record.key)
        if session is None and record.state.final:
            return record
        async with self._keepers.operations.held(meeting_id, "leave", must=session is None):
            if session is None and record.held:
                return await self._asked(record, Wish.LEAVE, reason, lambda there: there.state.final)
            if session is None:
                taken = await self._ledger.claim(record, reason)
                if taken is None:
                    return await self._asked(record, Wish.LEAVE, reason, lambda there: there.state.final)
                session = self.take_up(taken, leaving=reason)
            session.leave(reason)
            await _until(session.ended, self._options.finish_seconds + STOP_SECONDS)
        return session.record

    async def reconnect(self, tenant_id: str, meeting_id: str, reason: str, *, provider: str = "") -> Record:
        """Leave the call and join it again on the same timeline; returns once the recorder is in.

        Raises:
            SessionNotFound: the meeting has no session, or none through this provider.
            StateChanged: it is over.
            SessionElsewhere: the replica that holds it did not answer in time.
            OperationInProgress: the meeting is being joined or left by somebody else.
            ProviderFailed: the call cannot be joined any more.
        """
        reason = reason or "asked to reconnect"
        record = await self.find(tenant_id, meeting_id, provider)
        if record.state.final:
            raise StateChanged("the session is over", expected=State.LIVE.value, actual=record.state.value)
        session = self._active.get(record.key)
        async with self._keepers.operations.held(meeting_id, "reconnect"):
            if session is None:
                taken = None if record.held else await self._ledger.claim(record, reason)
                if taken is None:
                    return await self._asked(record, Wish.RECONNECT, reason, lambda there: _is_back(there, record))
                session = self.take_up(taken)
            else:
                session.reconnect(reason)
            await _until(session.in_call)
        return self._joined(session.record)

    def take_up(self, record: Record, *, leaving: str = "") -> Session:
        """Go on with a session that this replica has claimed; one that is `leaving`, for that reason, only ends."""
        session = self._register(record)
        if leaving:
            session.leave(leaving)
        return self._started(session, record)

    async def find(self, tenant_id: str, meeting_id: str, provider: str = "") -> Record:
        """Return the session of a meeting, the latest if there were several.

        Raises:
            SessionNotFound: there was none, or it goes through another provider.
        """
        session = self._active.get((tenant_id, meeting_id))
        record = session.record if session else await self._ledger.find(tenant_id, meeting_id)
        if record is None or (provider and record.provider != provider):
            raise SessionNotFound(meeting_id=meeting_id)
        return record

    async def page(
        self,
        tenant_id: str,
        size: int,
        before: tuple[datetime, str] | None,
        *,
        provider: str = "",
        active: bool = False,
    ) -> Sequence[Record]:
        """Return sessions, newest first, as they are now."""
        found = await self._ledger.page(tenant_id, size, before, provider=provider, active=active)
        return [self._fresh(record) for record in found]

    async def transitions(
        self, records: Sequence[Record], most: int | None = None
    ) -> Mapping[str, Sequence[Transition]]:
        """Return the steps of sessions by their ids, newest first, so many of each at most.

        While the database is away these are the steps that are not written down yet.
        """
        try:
            stored = await self._ledger.transitions([record.session_id for record in records], most)
        except Unavailable:
            stored = {}
        found: dict[str, Sequence[Transition]] = {}
        for record in records:
            steps = {step.ordinal: step for step in stored.get(record.session_id, ())}
            session = self._session_of(record)
            steps |= {step.ordinal: step for step in (session.steps if session else ())}
            newest = sorted(steps.values(), key=lambda step: step.ordinal, reverse=True)
            found[record.session_id] = newest[:most]
        return found

    def participants(self, record: Record) -> Sequence[Heard]:
        """Return who is heard in a session now."""
        session = self._session_of(record)
        return session.participants if session else ()

    async def notices(self, record: Record) -> Sequence[Notice]:
        """Return who was told of the recording in a session."""
        session = self._session_of(record)
        if session is not None:
            return session.notices
        try:
            return await self._keepers.notices.of_session(record.tenant_id, record.session_id)
        except Unavailable:
            return ()

    async def withdraw(self, tenant_id: str, meeting_id: str, participant_id: str) -> Notice:
        """Stop recording a participant from this moment on; returns when it is so, whichever replica records.

        Raises:
            SessionNotFound: the meeting has no session.
            StateChanged: it is over.
            ParticipantNotFound: nobody of this id was in the call.
            SessionElsewhere: the replica that holds it did not answer in time; it will heed the wish all the same.
            Unavailable: the database is away.
        """
        record = await self.find(tenant_id, meeting_id)
        if record.state.final:
            raise StateChanged("the session is over", expected=State.LIVE.value, actual=record.state.value)
        session = self._active.get(record.key)
        if session is not None:
            notice = session.withdraw_consent(participant_id)
            if notice is None:
                raise ParticipantNotFound(participant_id=participant_id)
            return notice
        known = await self._known(record, participant_id)
        if known.withdrawn:
            return known
        wished_at = now()
        call = Call(tenant_id, meeting_id, record.session_id)
        await self._keepers.notices.keep(call, [replace(known, withdrawn_time=wished_at)])
        try:
            async with asyncio.timeout(_ASKED_SECONDS):
                while True:
                    await asyncio.sleep(_ASKED_PAUSE_SECONDS)
                    known = await self._known(record, participant_id)
                    # Whoever records writes down the very moment, which is later than that of the wish.
                    if known.withdrawn_time is not None and known.withdrawn_time > wished_at:
                        return known
        except TimeoutError:
            raise SessionElsewhere(meeting_id=meeting_id, retry_after_seconds=_ASKED_PAUSE_SECONDS) from None

    async def _known(self, record: Record, participant_id: str) -> Notice:
        for notice in await self._keepers.notices.of_session(record.tenant_id, record.session_id):
            if notice.participant_id == participant_id:
                return notice
        raise ParticipantNotFound(participant_id=participant_id)

    def session(self, tenant_id: str, meeting_id: str) -> Session | None:
        """Return a meeting's session if it runs here."""
        return self._active.get((tenant_id, meeting_id))

    async def obey(self) -> None:
        """Do what other replicas ask of these sessions."""
        if not self._active:
            return
        ours = {session.record.session_id: session for session in self.active}
        try:
            with across_tenants():
                for session_id, notice in await self._keepers.notices.withdrawals(ours):
                    ours[session_id].heed(notice)
                wishes = await self._ledger.wishes()
        except Unavailable:
            return
        except Exception as error:  # the edge of a loop: who asked will ask again
            log.error("wishes_not_read", exc_info=error)
            return
        for session_id, wish, reason in wishes:
            session = ours.get(session_id)
            if session is None:
                continue
            log.info("session_asked", session_id=session_id, wish=wish.value)
            if wish is Wish.LEAVE:
                session.leave(reason)
            else:
                session.reconnect(reason)

    async def stop(self) -> None:
        """Get out of every call and let others go on; what takes too long is cut off, and its lease runs out."""
        sessions = self.active
        for session in sessions:
            session.hand_over("the connector is stopping")
        try:
            async with asyncio.timeout(STOP_SECONDS):
                for session in sessions:
                    await session.ended.wait()
        except TimeoutError:
            log.error("sessions_not_handed_over", sessions=len(self._active))
        for running in self._running:
            running.cancel()

    async def _create(self, record: Record) -> Record:
        """Keep a new session; a stale one that is in another call makes way for it."""
        there = await self._ledger.create(record)
        if there.session_id == record.session_id or there.state.final or there.held:
            return there
        if (there.provider, there.url) == (record.provider, record.url):
            return there
        taken = await self._ledger.claim(there, "its connector is gone, and another call was asked for")
        if taken is not None:
            session = self._make(taken)
            session.fail("its connector is gone, and another call was asked for")
            await self._ledger.save(session.record, session.steps)
        return await self._ledger.create(record)

    async def _confirmed(self, session: Session) -> Record:
        """Return a session's record; one that nothing was heard of for a while is asked for at the provider."""
        if isinstance(session, PullSession) and monotonic() - session.confirmed_at > self._idempotent_seconds:
            try:
                await session.confirm()
            except ProviderAway as away:
                raise ProviderFailed(str(away), provider=session.record.provider) from away
            await _until(session.in_call)
        return session.record

    async def _asked(self, record: Record, wish: Wish, reason: str, done: Callable[[Record], bool]) -> Record:
        """Let the replica that holds a session do something; returns when it has.

        Raises:
            SessionElsewhere: it has not, in time.
        """
        await self._ledger.ask(record, wish, reason)
        try:
            async with asyncio.timeout(_ASKED_SECONDS):
                while True:
                    await asyncio.sleep(_ASKED_PAUSE_SECONDS)
                    there = await self._found(record)
                    if there.session_id != record.session_id or there.state.final or done(there):
                        return there
        except TimeoutError:
            raise SessionElsewhere(meeting_id=record.meeting_id, retry_after_seconds=_ASKED_PAUSE_SECONDS) from None

    async def _found(self, record: Record) -> Record:
        return await self._ledger.find(record.tenant_id, record.meeting_id) or record

    def _joined(self, record: Record) -> Record:
        if record.state is State.FAILED:
            raise ProviderFailed(record.reason, provider=record.provider)
        return record

    def _register(self, record: Record) -> Session:
        session = self._make(record)
        self._active[record.key] = session
        return session

    def _make(self, record: Record) -> Session:
        keepers, provider = self._keepers, self._registry.provider(record.provider)
        if self._registry.kind(record.provider).capabilities.pull:
            return PullSession(
                record,
                cast("PullProvider", provider),
                keepers.breakers,
                keepers.chunks,
                keepers.ledger,
                keepers.notices,
                self._options,
            )
        return PushSession(
            record,
            cast("Provider", provider),
            keepers.breakers,
            self._channel,
            keepers.ledger,
            keepers.notices,
            self._options,
        )

    def _started(self, session: Session, record: Record) -> Session:
        """Let a session live on the record that the ledger has of it."""
        session.begin(record)
        # A context of its own: the session is not part of the call that asked for it, nor under its deadline.
        running = self._tasks.create_task(self._run(session), name="connector.session", context=Context())
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return session

    async def _run(self, session: Session) -> None:
        try:
            with within(session.record.tenant_id):
                await session.run()
        finally:
            self._forget(session)

    def _forget(self, session: Session) -> None:
        if self._active.get(session.record.key) is session:
            del self._active[session.record.key]

    def _session_of(self, record: Record) -> Session | None:
        session = self._active.get(record.key)
        return session if session and session.record.session_id == record.session_id else None

    def _fresh(self, record: Record) -> Record:
        session = self._session_of(record)
        return session.record if session else record


@asynccontextmanager
async def open_sessions(
    registry: Registry,
    channel: grpc.aio.Channel,
    keepers: Keepers,
    options: SessionOptions,
    *,
    idempotent_seconds: float = 60.0,
) -> AsyncIterator[Sessions]:
    """Hold sessions for the block; at its end they are handed over, so that another replica goes on with them.

    Args:
        registry: the providers.
        channel: to ingest.
        keepers: keep the records and the order among replicas.
        options: bounds of each session.
        idempotent_seconds: how long a pull session that was heard of counts as in its call when it is joined again.
    """
    async with asyncio.TaskGroup() as tasks:
        sessions = Sessions(registry, channel, keepers, options, tasks, idempotent_seconds=idempotent_seconds)
        rounds = Rounds(sessions.obey, _WISH_SECONDS)
        obeying = tasks.create_task(rounds.run(), name="connector.wishes")
        try:
            yield sessions
        finally:
            rounds.stop()
            await last_round(obeying)
            await sessions.stop()


def _is_back(there: Record, before: Record) -> bool:
    """Return whether a session that was asked to reconnect has done so."""
    return there.wish is Wish.NONE and there.state.connected and there.update_time > before.update_time


async def _until(event: asyncio.Event, seconds: float = JOIN_SECONDS) -> None:
    """Wait for an event, or for so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        log.info("session_takes_its_time")
