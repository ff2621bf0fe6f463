"""The watch over quick recordings: every replica takes those that are due, so that one that dies stops none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kit.db.engine import DatabaseUnavailable
from kit.db.tenancy import within
from kit.errors import AppError
from kit.telemetry import logs
from services.ingest.quick.recordings import LEASE, QuickRecordings
from services.ingest.quick.repository import QuickRepository, QuickRow

PAUSE_SECONDS = 0.5
_AT_ONCE = 8
_STEP_SECONDS = LEASE.total_seconds() - 5

log = logs.get()


@asynccontextmanager
async def open_quick_watch(repository: QuickRepository, recordings: QuickRecordings) -> AsyncIterator[None]:
    """Look after quick recordings for the block."""
    watching = asyncio.create_task(_watch(repository, recordings), name="ingest.quick")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def _watch(repository: QuickRepository, recordings: QuickRecordings) -> None:
    while True:
        try:
            due = await repository.take_due(LEASE, _AT_ONCE)
        except DatabaseUnavailable:
            due = ()
        except Exception as error:  # the edge of a loop: the next look may fare better
            log.error("quick_watch_failed", exc_info=error)
            due = ()
        await asyncio.gather(*(_look_after(recordings, row) for row in due))
        await asyncio.sleep(PAUSE_SECONDS)


async def _look_after(recordings: QuickRecordings, row: QuickRow) -> None:
    with logs.bind(meeting_id=row.meeting_id), within(row.tenant_id):
        try:
            async with asyncio.timeout(_STEP_SECONDS):
                await recordings.look_after(row)
        except (AppError, TimeoutError) as error:  # looked at again when the lease is over
            log.warning("quick_recording_waits", error=str(error) or type(error).__name__)
        except Exception as error:  # the edge of a loop: one recording's trouble is its own
            log.error("quick_recording_step_failed", exc_info=error)
