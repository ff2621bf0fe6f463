"""The last step after a meeting: a report goes to whom the operator chose, once.

What is sent carries the delivery's id, the same at every attempt, so a receiver can tell a repetition (we died between
sending and writing it down) from news.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from prometheus_client import Counter

from kit import clock
from kit.queue.errors import GiveUp, Postpone, describe
from kit.queue.job import Job
from kit.telemetry import logs
from services.report.errors import DeliveryFailed
from services.report.repository import ReportRepository
from services.report.rows import DeliveryRow, Revision

_LONGEST_REST_SECONDS = 24 * 3600.0
_PATIENCE = timedelta(days=3)
"""How long a receiver may ask for rests; attempts that it answers so are not counted."""

DELIVERIES = Counter("agent_report_deliveries", "Attempts at sending a report.", ["channel", "outcome"])

log = logs.get()


class Channel(Protocol):
    """A way to somebody."""

    name: str
    target: str
    """Names the receiver in rows and logs, without secrets."""

    async def send(self, delivery: DeliveryRow, report: Mapping[str, Any]) -> None:
        """Send a report, given as protobuf JSON.

        Raises:
            DeliveryFailed: not now; `retry_after_seconds` if the receiver named a time.
            GiveUp: the receiver does not want it.
        """


class Deliveries:
    """Does the jobs that send."""

    def __init__(self, repository: ReportRepository, channels: Sequence[Channel]) -> None:
        self._repository = repository
        self._channels = {channel.name: channel for channel in channels}

    async def deliver(self, job: Job) -> None:
        """Send one delivery; nothing is sent for one that is sent already, or whose meeting is gone.

        Raises:
            DeliveryFailed: it is tried again after the queue's rest.
            Postpone: it is tried again after the rest that the receiver asked for.
            GiveUp: the receiver does not want it, or has asked for rests for too long.
        """
        revision = Revision.of(job)
        with logs.bind(meeting_id=revision.meeting_id):
            begun = await self._repository.begin_delivery(revision.tenant_id, str(job.payload["delivery_id"]))
            if begun is None:
                await self._repository.finish(job)
                return
            delivery, report = begun
            channel = self._channels.get(delivery.channel)
            if channel is None or channel.target != delivery.target:
                await self._repository.end_delivery(job, delivery, "skipped", "the receiver is not configured any more")
                log.info("delivery_skipped", delivery_id=delivery.delivery_id, channel=delivery.channel)
                return
            try:
                await channel.send(delivery, report)
            except (DeliveryFailed, GiveUp) as error:
                await self._not_taken(job, delivery, error)
            await self._repository.end_delivery(job, delivery, "sent")
            DELIVERIES.labels(channel.name, "sent").inc()
            log.info("delivery_sent", delivery_id=delivery.delivery_id, channel=channel.name, target=channel.target)

    async def _not_taken(self, job: Job, delivery: DeliveryRow, error: DeliveryFailed | GiveUp) -> None:
        await self._repository.note_failure(delivery, describe(error))
        DELIVERIES.labels(delivery.channel, "refused" if isinstance(error, GiveUp) else "failed").inc()
        rest = error.retry_after_seconds if isinstance(error, DeliveryFailed) else None
        if isinstance(error, GiveUp) or rest is None:
            raise error
        if clock.now() - job.create_time > _PATIENCE:
            raise GiveUp(f"{error.message}; the receiver has asked for rests for {_PATIENCE.days} days") from error
        raise Postpone(min(rest, _LONGEST_REST_SECONDS), error.message) from error
