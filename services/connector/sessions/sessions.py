"""The sessions of this replica: at most one per meeting, each a task that fails alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from datetime import datetime
from typing import cast

import grpc

from kit.clock import now
from kit.ids import new_id
from kit.telemetry import logs
from services.connector.errors import ProviderFailed, SessionElsewhere, SessionNotFound
from services.connector.provider import Heard, JoinSpec, Provider
from services.connector.registry import Registry
from services.connector.sessions.record import Ledger, Record, State
from services.connector.sessions.session import Session, SessionOptions

JOIN_SECONDS = 15.0
STOP_SECONDS = 12.0

log = logs.get()


class Sessions:
    """Starts, finds and ends sessions; see `open_sessions`."""

    def __init__(
        self,
        registry: Registry,
        channel: grpc.aio.Channel,
        ledger: Ledger,
        options: SessionOptions,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._registry = registry
        self._channel = channel
        self._ledger = ledger
        self._options = options
        self._tasks = tasks
        self._active: dict[tuple[str, str], Session] = {}
        self._running: set[asyncio.Task[None]] = set()

    @property
    def active(self) -> Sequence[Session]:
        """Sessions that are not over."""
        return list(self._active.values())

    async def join(self, spec: JoinSpec, *, provider: str = "", request_id: str = "") -> Record:
        """Send the recorder into a call; returns once it is in. A meeting that has a session answers with it.

        Raises:
            ProviderUnknown: there is no such provider.
            ProviderDisabled: it is not switched on.
            ProviderFailed: the call cannot be joined.
            Unavailable: the database is away.
        """
        name = provider or self._registry.default_name
        joins = self._registry.provider(name)
        if self._registry.kind(name).capabilities.pull:
            raise ProviderFailed("pull providers cannot be joined yet", provider=name)
        key = (spec.tenant_id, spec.meeting_id)
        session = self._active.get(key)
        if session is None:
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
            session = Session(record, cast("Provider", joins), self._channel, self._ledger, self._options)
            self._active[key] = session
            there: Record | None = None
            try:
                there = await self._ledger.create(session.record)
            finally:
                if there is None or there.session_id != record.session_id:
                    self._forget(key)
                    session.in_call.set()
            if there.session_id != record.session_id:
                return there
            # A context of its own: the session is not part of the call that asked for it, nor under its deadline.
            running = self._tasks.create_task(self._run(key, session), name="connector.session", context=Context())
            self._running.add(running)
            running.add_done_callback(self._running.discard)
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                await session.in_call.wait()
        except TimeoutError:
            return session.record
        if session.record.state is State.FAILED:
            raise ProviderFailed(session.record.reason, provider=session.record.provider)
        return session.record

    async def leave(self, tenant_id: str, meeting_id: str, reason: str) -> Record:
        """Take the recorder out and finish the session; a session that is over answers as it is.

        Raises:
            SessionNotFound: the meeting has no session.
            SessionElsewhere: another replica holds it.
        """
        session = self._active.get((tenant_id, meeting_id))
        if session is None:
            record = await self.find(tenant_id, meeting_id)
            if not record.state.final:
                raise SessionElsewhere(meeting_id=meeting_id)
            return record
        session.leave(reason or "asked to leave")
        try:
            async with asyncio.timeout(self._options.finish_seconds + STOP_SECONDS):
                await session.ended.wait()
        except TimeoutError:
            log.warning("session_slow_to_end", session_id=session.record.session_id)
        return session.record

    async def find(self, tenant_id: str, meeting_id: str) -> Record:
        """Return the session of a meeting, the latest if there were several.

        Raises:
            SessionNotFound: there was none.
        """
        session = self._active.get((tenant_id, meeting_id))
        record = session.record if session else await self._ledger.find(tenant_id, meeting_id)
        if record is None:
            raise SessionNotFound(meeting_id=meeting_id)
        return record

    async def page(self, tenant_id: str, size: int, before: tuple[datetime, str] | None) -> Sequence[Record]:
        """Return sessions, newest first, as they are now."""
        return [self._fresh(record) for record in await self._ledger.page(tenant_id, size, before)]

    def participants(self, record: Record) -> Sequence[Heard]:
        """Return who is heard in a session now."""
        session = self._active.get((record.tenant_id, record.meeting_id))
        return session.participants if session and session.record.session_id == record.session_id else ()

    async def stop(self) -> None:
        """Finish every session, within a bound; one that takes longer is cut off, and its lease runs out."""
        sessions = self.active
        for session in sessions:
            session.leave("the connector is stopping")
        try:
            async with asyncio.timeout(STOP_SECONDS):
                for session in sessions:
                    await session.ended.wait()
        except TimeoutError:
            log.error("sessions_not_finished", sessions=len(self._active))
        for running in self._running:
            running.cancel()

    async def _run(self, key: tuple[str, str], session: Session) -> None:
        try:
            await session.run()
        finally:
            self._forget(key)

    def _forget(self, key: tuple[str, str]) -> None:
        self._active.pop(key, None)

    def _fresh(self, record: Record) -> Record:
        session = self._active.get((record.tenant_id, record.meeting_id))
        return session.record if session and session.record.session_id == record.session_id else record


@asynccontextmanager
async def open_sessions(
    registry: Registry,
    channel: grpc.aio.Channel,
    ledger: Ledger,
    options: SessionOptions,
) -> AsyncIterator[Sessions]:
    """Hold sessions for the block; at its end they are finished, so that what was recorded is complete.

    Args:
        registry: the providers.
        channel: to ingest.
        ledger: keeps the records.
        options: bounds of each session.
    """
    async with asyncio.TaskGroup() as tasks:
        sessions = Sessions(registry, channel, ledger, options, tasks)
        try:
            yield sessions
        finally:
            await sessions.stop()
