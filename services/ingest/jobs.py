"""The jobs of the room's own queue: what retention and erasure leave to be done."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kit.db.engine import Database
from kit.queue.worker import open_worker
from services.ingest.erasure.erasure import Erasure
from services.ingest.erasure.repository import ERASE_BLOBS, QUEUE
from services.ingest.erasure.retention import RETAIN, Retention

_GRACE_SECONDS = 5.0
_CONCURRENCY = 2


@asynccontextmanager
async def open_jobs(database: Database, erasure: Erasure, retention: Retention) -> AsyncIterator[None]:
    """Work on the queue for the block, and put the day's retention into it."""
    handlers = {ERASE_BLOBS: erasure.erase_blobs, RETAIN: retention.retain}
    async with open_worker(database, QUEUE, handlers, concurrency=_CONCURRENCY, grace_seconds=_GRACE_SECONDS):
        keeping_time = asyncio.create_task(retention.keep_time(), name="ingest.retention")
        try:
            yield
        finally:
            keeping_time.cancel()
            await asyncio.wait([keeping_time])
