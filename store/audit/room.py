"""A room's part in the audit trail: what its gate decides is written away, and what is old is removed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from kit.audit.auditing import Auditing
from kit.audit.decision import AuditSink, Decision, NoTrail
from kit.audit.origin import Origins
from kit.audit.trail import open_trail
from kit.clock import now
from kit.db.engine import Database
from kit.errors import AppError
from kit.ops.sources import AuditLog, NoAuditLog
from kit.telemetry import logs
from store.audit.table import AuditStore

_KEEP_SECONDS = 3600.0

log = logs.get()


@dataclass(frozen=True, slots=True)
class RoomAudit:
    """A room's part in the trail: where its gate puts decisions, what operators read, whose word on origins counts."""

    sink: AuditSink = field(default_factory=NoTrail)
    log: AuditLog = field(default_factory=NoAuditLog)
    origins: Origins = field(default_factory=Origins)


class _Silent:
    """The trail where nothing is to be written: what is there can still be read."""

    def __init__(self, store: AuditStore) -> None:
        self.page = store.page

    async def append(self, decisions: Sequence[Decision]) -> None:
        return


@asynccontextmanager
async def open_audit(database: Database, auditing: Auditing | None) -> AsyncIterator[RoomAudit]:
    """Keep the decisions of a room for the block, and the trail's length; None leaves them to the log."""
    if auditing is None:
        yield RoomAudit()
        return
    store, settings = AuditStore(database), auditing.settings
    if not settings.db_enabled:
        yield RoomAudit(log=_Silent(store), origins=auditing.origins)
        return
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(_keep(store, settings.retention), name="audit.keep")
        try:
            async with open_trail(store, settings) as sink:
                yield RoomAudit(sink, store, auditing.origins)
        finally:
            keeping.cancel()


async def _keep(store: AuditStore, retention: timedelta | None) -> None:
    """Every hour, remove what is old and say where the trail ends: a log kept elsewhere shows a trail cut short."""
    while True:
        await asyncio.sleep(_KEEP_SECONDS)
        try:
            removed = 0 if retention is None else await store.cut(now() - retention)
            sequence, head = await store.head()
            log.info("security_audit_head", sequence=sequence, hash=head, removed=removed)
        except AppError as error:
            log.warning("security_audit_not_kept", cause=type(error).__name__)
