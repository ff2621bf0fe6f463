"""The trail's queue: gates put decisions in and go on; one task writes them away in batches, however long it takes."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from prometheus_client import Counter, Gauge

from kit.audit.decision import AuditSink, Decision, NoTrail
from kit.audit.settings import AuditSettings
from kit.errors import AppError
from kit.telemetry import logs

BATCH = 500
_GATHER_SECONDS = 0.2
_WRITE_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
_LAST_WORDS_SECONDS = 3.0

_KEPT = Counter("agent_audit_kept", "Decisions about access that are in the trail.")
_LOST = Counter("agent_audit_lost", "Decisions about access that are only in the log: the queue was full.")
_WAITING = Gauge("agent_audit_waiting", "Decisions about access that wait to be written.")

_OPS = "/agent.ops.v1.OpsService/"
_OWN = frozenset({f"{_OPS}RecordAudit", f"{_OPS}Watch"})
"""Calls of the rooms among themselves, for the trail itself and for the console; they tell nobody anything."""

log = logs.get()


class AuditWriter(Protocol):
    """Writes decisions where they are kept."""

    async def append(self, decisions: Sequence[Decision]) -> None:
        """Write decisions, all or none.

        Raises:
            AppError: not now; they are given again later.
        """


class AuditTrail:
    """Takes decisions without waiting. `lost` counts those for which there was no room."""

    def __init__(self, settings: AuditSettings) -> None:
        self._settings = settings
        self._waiting: deque[Decision] = deque()
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        self.lost = 0

    def record(self, decision: Decision) -> None:
        """Queue a decision if it belongs in the trail."""
        if not self._belongs(decision):
            return
        if len(self._waiting) >= self._settings.queue:
            if self.lost == 0:
                log.error("security_audit_overflow", waiting=len(self._waiting))
            self.lost += 1
            _LOST.inc()
            return
        self._waiting.append(decision)
        self._news.set()

    @property
    def waiting(self) -> int:
        """Number of decisions that are not written yet."""
        return len(self._waiting)

    def close(self) -> None:
        """Let `run` end once nothing waits, or what waits cannot be written now."""
        self._closing.set()
        self._news.set()

    async def run(self, writer: AuditWriter) -> None:
        """Write what is queued, until closed."""
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            await self._news.wait()
            await self._pause(_GATHER_SECONDS)
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            if not batch:
                if self._closing.is_set():
                    return
                self._news.clear()
                continue
            if await self._written(writer, batch):
                pause_seconds = _FIRST_PAUSE_SECONDS
                continue
            self._waiting.extendleft(reversed(batch))
            _WAITING.set(len(self._waiting))
            if self._closing.is_set():
                return  # whoever keeps the trail is stopping too, or away; nothing here outlasts them
            await self._pause(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not for long once closed."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return

    async def _written(self, writer: AuditWriter, batch: Sequence[Decision]) -> bool:
        """Write a batch; returns False if it is to be tried again."""
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await writer.append(batch)
        except (AppError, TimeoutError) as error:
            log.warning("security_audit_waits", waiting=len(self._waiting) + len(batch), cause=type(error).__name__)
            return False
        except Exception as error:  # an edge: a batch that can never be written must not stop those behind it
            log.error("security_audit_lost", decisions=len(batch), exc_info=error)
            _LOST.inc(len(batch))
            return True
        _KEPT.inc(len(batch))
        _WAITING.set(len(self._waiting))
        if self.lost and not self._waiting:
            log.error("security_audit_lost", decisions=self.lost)
            self.lost = 0
        return True

    def _belongs(self, decision: Decision) -> bool:
        if decision.outcome == "deny":
            return True
        if decision.rpc in _OWN or (decision.rpc.startswith(_OPS) and decision.method != "GRPC"):
            return False  # the gateway asks every room for one call over HTTP, and has told of that one
        return self._settings.allow == "all" or decision.weight != "read"


@asynccontextmanager
async def open_trail(writer: AuditWriter, settings: AuditSettings) -> AsyncIterator[AuditSink]:
    """Write decisions away for the block, unless the settings say no; what waits at its end gets 3 s."""
    if not settings.db_enabled:
        yield NoTrail()
        return
    trail = AuditTrail(settings)
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(trail.run(writer), name="audit.write")
        try:
            yield trail
        finally:
            trail.close()
            await asyncio.wait({writing}, timeout=_LAST_WORDS_SECONDS)
            if trail.waiting or not writing.done():
                log.error("security_audit_unwritten", waiting=trail.waiting)
            writing.cancel()
