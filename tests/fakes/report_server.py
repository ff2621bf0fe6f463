"""A report room that keeps the contract of FollowTranscript: it remembers the segments and has an insight for each."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from agent.common.v1 import report_pb2, transcript_pb2
from agent.report.v1 import report_service_pb2 as pb
from agent.report.v1.report_service_pb2_grpc import ReportServiceServicer, add_ReportServiceServicer_to_server

_Servicer: Any = ReportServiceServicer  # its other RPCs answer UNIMPLEMENTED


class Report(_Servicer):  # type: ignore[misc]
    """What the room was told, by meeting, over all its connections."""

    def __init__(self) -> None:
        self.segments: dict[str, list[transcript_pb2.Segment]] = {}
        self.ended: set[str] = set()
        self.tenants: set[str] = set()
        self.connections = 0
        self.break_after_segments: int | None = None
        """Segments of one connection after which it breaks off; then None again."""

    async def FollowTranscript(self, request_iterator: Any, context: Any) -> None:
        self.connections += 1
        self.tenants.add(dict(context.invocation_metadata()).get("x-tenant-id", ""))
        opening = (await context.read()).open
        known = self.segments.setdefault(opening.meeting_id, [])
        opened = pb.FollowOpened(last_ordinal=known[-1].ordinal if known else 0)
        await context.write(pb.FollowTranscriptResponse(opened=opened))
        count = 0
        while (request := await context.read()) is not grpc.aio.EOF:
            if request.HasField("end"):
                self.ended.add(opening.meeting_id)
                return
            count += 1
            if self.break_after_segments is not None and count > self.break_after_segments:
                self.break_after_segments = None
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the report room died")
            known.append(request.segment)
            talk = report_pb2.TalkStatistics(duration_ms=request.segment.end_ms)
            await context.write(pb.FollowTranscriptResponse(insight=pb.Insight(talk=talk)))


@asynccontextmanager
async def serving_report(report: Report, *, port: int = 0) -> AsyncIterator[int]:
    """Serve on 127.0.0.1 for the block; yields the port."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_ReportServiceServicer_to_server(report, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(None)
