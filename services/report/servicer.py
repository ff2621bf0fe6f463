"""ReportService: what the contract asks, answered by the nouns of this room."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

from google.api import httpbody_pb2
from google.protobuf import json_format

from agent.common.v1 import report_pb2
from agent.report.v1 import report_service_pb2 as pb
from agent.report.v1 import report_service_pb2_grpc as pb_grpc
from kit.auth.principal import current_principal
from services.report.artifacts import DEFAULT_FORMAT, KINDS
from services.report.errors import UnknownFormat
from services.report.follow import FollowStream
from services.report.repository import ReportRepository
from services.report.rows import ArtifactRow, DeliveryRow

AtOnce = Callable[[str], Awaitable[object]]
"""Does a job and what follows from it now."""

_DELIVERY_STATES = {"pending": "queued", "sent": "sent", "failed": "failed", "skipped": "failed"}
_LONGEST_WAIT_SECONDS = 60.0
_SHARE = 0.8
"""Of the time that a caller has left; the rest is for the answer."""


class Files(Protocol):
    """Where files are kept."""

    async def get(self, key: str) -> bytes: ...


class ReportServicer(pb_grpc.ReportServiceServicer):
    """Answers calls from the store and the blob store; work that takes time is queued."""

    def __init__(
        self,
        repository: ReportRepository,
        files: Files,
        draining: asyncio.Event,
        talk_interval_seconds: float,
        at_once: AtOnce | None = None,
    ) -> None:
        """Store what the servicer works with; `at_once` if callers wait for what they have queued."""
        self._repository = repository
        self._files = files
        self._draining = draining
        self._talk_interval_seconds = talk_interval_seconds
        self._at_once = at_once

    async def FollowTranscript(  # type: ignore[override]  # the stub's type leaves out handlers that read and write
        self, request_iterator: object, context: Any
    ) -> None:
        tenant_id = current_principal().tenant_id
        stream = FollowStream(context, self._repository, tenant_id, self._draining, self._talk_interval_seconds)
        await stream.run()

    async def GetReport(self, request: pb.GetReportRequest, context: object) -> pb.GetReportResponse:
        body = await self._repository.report(current_principal().tenant_id, request.meeting_id)
        report = json_format.ParseDict(body, report_pb2.Report(), ignore_unknown_fields=True)
        return pb.GetReportResponse(report=report)

    async def GetReportText(self, request: pb.GetReportTextRequest, context: object) -> pb.GetReportTextResponse:
        return pb.GetReportTextResponse(body=await self._file(request.meeting_id, "report", "txt"))

    async def RebuildReport(self, request: pb.RebuildReportRequest, context: Any) -> pb.RebuildReportResponse:
        job_id = await self._rebuild(request.meeting_id, "RebuildReport", request.request_id, context)
        return pb.RebuildReportResponse(job_id=job_id)

    async def ListArtifacts(self, request: pb.ListArtifactsRequest, context: object) -> pb.ListArtifactsResponse:
        rows = await self._repository.artifacts(current_principal().tenant_id, request.meeting_id)
        return pb.ListArtifactsResponse(artifacts=[_artifact(row) for row in rows])

    async def GetArtifact(self, request: pb.GetArtifactRequest, context: object) -> pb.GetArtifactResponse:
        kind, fmt = request.kind, request.fmt or DEFAULT_FORMAT
        if kind not in KINDS:
            raise UnknownFormat("kind", kind, KINDS)
        if fmt not in KINDS[kind]:
            raise UnknownFormat("fmt", fmt, KINDS[kind])
        return pb.GetArtifactResponse(body=await self._file(request.meeting_id, kind, fmt))

    async def RebuildArtifacts(self, request: pb.RebuildArtifactsRequest, context: Any) -> pb.RebuildArtifactsResponse:
        job_id = await self._rebuild(request.meeting_id, "RebuildArtifacts", request.request_id, context)
        return pb.RebuildArtifactsResponse(job_id=job_id)

    async def ListDeliveries(self, request: pb.ListDeliveriesRequest, context: object) -> pb.ListDeliveriesResponse:
        rows = await self._repository.deliveries(current_principal().tenant_id, request.meeting_id)
        return pb.ListDeliveriesResponse(deliveries=[_delivery(row) for row in rows])

    async def Redeliver(self, request: pb.RedeliverRequest, context: object) -> pb.RedeliverResponse:
        row = await self._repository.redeliver(
            current_principal().tenant_id, request.delivery_id, request.request_id, meeting_id=request.meeting_id
        )
        return pb.RedeliverResponse(delivery=_delivery(row))

    async def _rebuild(self, meeting_id: str, rpc: str, request_id: str, context: Any) -> str:
        job_id = await self._repository.rebuild(current_principal().tenant_id, meeting_id, rpc, request_id)
        await self._run(job_id, context)
        return job_id

    async def _run(self, job_id: str, context: Any) -> None:
        """Wait for what was queued, where steps are done at once; past the deadline it goes on by itself."""
        if self._at_once is None:
            return
        remaining: float | None = context.time_remaining()
        seconds = _LONGEST_WAIT_SECONDS if remaining is None else min(remaining * _SHARE, _LONGEST_WAIT_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._at_once(job_id)

    async def _file(self, meeting_id: str, kind: str, fmt: str) -> httpbody_pb2.HttpBody:
        row = await self._repository.artifact(current_principal().tenant_id, meeting_id, kind, fmt)
        return httpbody_pb2.HttpBody(content_type=row.content_type, data=await self._files.get(row.blob_key))


def _delivery(row: DeliveryRow) -> pb.Delivery:
    made = pb.Delivery(
        delivery_id=row.delivery_id,
        channel=row.channel,
        state=_DELIVERY_STATES[row.state],
        last_error=row.last_error,
        attempts=row.attempts,
        revision=row.revision,
    )
    made.update_time.FromDatetime(row.update_time or row.create_time)
    return made


def _artifact(row: ArtifactRow) -> pb.Artifact:
    made = pb.Artifact(
        kind=row.kind,
        fmt=row.fmt,
        content_type=row.content_type,
        size_bytes=row.size_bytes,
        revision=row.revision,
    )
    made.create_time.FromDatetime(row.create_time)
    return made
