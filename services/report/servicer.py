"""ReportService: what the contract asks, answered by the nouns of this room."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from google.api import httpbody_pb2
from google.protobuf import json_format

from agent.common.v1 import report_pb2
from agent.report.v1 import report_service_pb2 as pb
from agent.report.v1 import report_service_pb2_grpc as pb_grpc
from kit.auth.principal import current_principal
from services.report.artifacts import DEFAULT_FORMAT, KINDS
from services.report.errors import ArtifactNotFound, NotInThisRelease, UnknownFormat
from services.report.follow import FollowStream
from services.report.repository import ArtifactRow, ReportRepository


class Files(Protocol):
    """Where files are kept."""

    async def get(self, key: str) -> bytes: ...


class ReportServicer(pb_grpc.ReportServiceServicer):
    """Answers calls from the store and the blob store; work that takes time is queued."""

    def __init__(
        self, repository: ReportRepository, files: Files, draining: asyncio.Event, talk_interval_seconds: float
    ) -> None:
        self._repository = repository
        self._files = files
        self._draining = draining
        self._talk_interval_seconds = talk_interval_seconds

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

    async def RebuildReport(self, request: pb.RebuildReportRequest, context: object) -> pb.RebuildReportResponse:
        job_id = await self._rebuild(request.meeting_id, "RebuildReport", request.request_id)
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

    async def RebuildArtifacts(
        self, request: pb.RebuildArtifactsRequest, context: object
    ) -> pb.RebuildArtifactsResponse:
        job_id = await self._rebuild(request.meeting_id, "RebuildArtifacts", request.request_id)
        return pb.RebuildArtifactsResponse(job_id=job_id)

    async def ListDeliveries(self, request: pb.ListDeliveriesRequest, context: object) -> pb.ListDeliveriesResponse:
        raise NotInThisRelease("ListDeliveries")

    async def Redeliver(self, request: pb.RedeliverRequest, context: object) -> pb.RedeliverResponse:
        raise NotInThisRelease("Redeliver")

    async def _rebuild(self, meeting_id: str, rpc: str, request_id: str) -> str:
        return await self._repository.rebuild(current_principal().tenant_id, meeting_id, rpc, request_id)

    async def _file(self, meeting_id: str, kind: str, fmt: str) -> httpbody_pb2.HttpBody:
        rows = await self._repository.artifacts(current_principal().tenant_id, meeting_id)
        for row in rows:
            if (row.kind, row.fmt) == (kind, fmt):
                return httpbody_pb2.HttpBody(content_type=row.content_type, data=await self._files.get(row.blob_key))
        raise ArtifactNotFound(kind, fmt)


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
