"""Retention: recordings and meetings that are too old are erased, once a day, by whichever replica comes first.

Answers to requests, kept for those who repeat them, go with the first round of the day; no setting holds them.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Protocol

from kit.clock import now
from kit.db.engine import Database, DatabaseUnavailable
from kit.db.tenancy import across_tenants, within
from kit.queue.cron import enqueue_slot, slot_of
from kit.queue.job import Job
from kit.queue.queue import enqueue
from kit.queue.wake import notify
from kit.telemetry import logs
from services.ingest import metrics
from services.ingest.erasure.erasure import Erasure
from services.ingest.erasure.repository import QUEUE, RETENTION, ErasureRepository, TooOld
from services.ingest.recordings.sealing import audio_prefix
from services.ingest.settings import RetentionSettings
from store.answers import ANSWERS_KEPT, forget_answers

RETAIN = "retain"
_SLOT = "ingest.retention"
_EVERY = timedelta(days=1)
_LOOK_SECONDS = 300.0
_BATCH = 100

log = logs.get()


class Blobs(Protocol):
    """Where recordings are."""

    async def delete_below(self, prefix: str) -> int: ...


class Retention:
    """Erases what the settings no longer allow to keep; the daily job is done in batches, each a job of its own."""

    def __init__(
        self,
        settings: RetentionSettings,
        database: Database,
        repository: ErasureRepository,
        erasure: Erasure,
        blobs: Blobs,
        *,
        batch: int = _BATCH,
    ) -> None:
        self._settings = settings
        self._database = database
        self._repository = repository
        self._erasure = erasure
        self._blobs = blobs
        self._batch = batch

    async def keep_time(self) -> None:
        """Enqueue the day's job, at once and then every day, until cancelled; over all replicas each day has one."""
        while True:
            try:
                await self.begin_day(now())
            except DatabaseUnavailable as error:
                log.info("retention_waits", error=str(error))
            await asyncio.sleep(_LOOK_SECONDS)

    async def begin_day(self, moment: datetime) -> bool:
        """Enqueue the job of the day that `moment` is in; False if somebody has.

        Raises:
            DatabaseUnavailable: the database is away.
        """
        day = slot_of(moment, _EVERY)
        payload = {"day": day.date().isoformat(), "round": 1}
        with across_tenants():  # the job is nobody's
            async with self._database.begin() as connection:
                taken = await enqueue_slot(connection, _SLOT, day, QUEUE, RETAIN, payload)
        if taken is not None:
            with suppress(DatabaseUnavailable):
                await notify(self._database, QUEUE)
        return taken is not None

    async def retain(self, job: Job) -> None:
        """Erase a batch of what is too old now, meetings first; a full batch is followed by another job.

        Raises:
            OSError: the blob store fails; the job is tried again.
        """
        moment = now()
        if job.payload["round"] == 1:
            await self._forget_answers(moment)
        meetings = await self._erase_meetings(moment)
        recordings = await self._erase_recordings(moment)
        log.info("retention_round", round=job.payload["round"], meetings=meetings, recordings=recordings)
        if self._batch in (meetings, recordings):
            await self._go_on(job)

    async def _erase_meetings(self, moment: datetime) -> int:
        found = 0
        for old in self._too_old(moment, self._settings.text_days, self._settings.tenant_text_days):
            for key in await self._repository.old_meetings(old, self._batch - found):
                with within(key.tenant_id):
                    await self._erasure.erase(key, erased_by=RETENTION, reason="")
                found += 1
            if found == self._batch:
                break
        return found

    async def _erase_recordings(self, moment: datetime) -> int:
        found = 0
        for old in self._too_old(moment, self._settings.audio_days, self._settings.tenant_audio_days):
            for key in await self._repository.old_recordings(old, self._batch - found):
                # First the blobs: should we die in between, the rows still say that there is something to delete.
                await self._blobs.delete_below(audio_prefix(key))
                with within(key.tenant_id):
                    await self._repository.audio_gone(key)
                metrics.ERASED.labels("audio", RETENTION).inc()
                log.info("recording_erased", meeting_id=key.meeting_id)
                found += 1
            if found == self._batch:
                break
        return found

    async def _forget_answers(self, moment: datetime) -> None:
        with across_tenants():
            async with self._database.begin() as connection:
                log.info("answers_forgotten", answers=await forget_answers(connection, moment - ANSWERS_KEPT))

    @staticmethod
    def _too_old(moment: datetime, days: int, tenants: dict[str, int]) -> Iterator[TooOld]:
        for tenant_id, own_days in tenants.items():
            if own_days:
                yield TooOld(moment - timedelta(days=own_days), tenant_id)
        if days:
            yield TooOld(moment - timedelta(days=days), None, tuple(tenants))

    async def _go_on(self, job: Job) -> None:
        day, following = job.payload["day"], int(job.payload["round"]) + 1
        async with self._database.begin() as connection:
            await enqueue(
                connection, QUEUE, RETAIN, {"day": day, "round": following}, dedupe=f"{RETAIN}/{day}/{following}"
            )
