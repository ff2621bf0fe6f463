"""What the console reads of single meetings and of the connector: the rooms' own answers, passed through.

Operators reach the gateway's gRPC port and no other. The rooms are asked with the operator's credentials and decide.
Changes are not passed through here: they are actions.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from agent.connector.v1 import connector_service_pb2 as connector
from agent.connector.v1 import connector_service_pb2_grpc as connector_grpc
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1 import meeting_service_pb2_grpc as meetings_grpc
from agent.report.v1 import report_service_pb2 as reports
from agent.report.v1 import report_service_pb2_grpc as reports_grpc
from gateway import credentials
from gateway.console.asking import call_seconds, refusals_passed_on
from kit.rpc.calls import held
from kit.rpc.server import RpcService


class MeetingRelay(meetings_grpc.MeetingServiceServicer):
    """Meetings, their coverage and their live text."""

    def __init__(self, channel: grpc.aio.Channel, draining: asyncio.Event) -> None:
        self._stub: Any = meetings_grpc.MeetingServiceStub(channel)
        self._draining = draining

    async def ListMeetings(self, request: meetings.ListMeetingsRequest, context: Any) -> meetings.ListMeetingsResponse:
        return await _ask(self._stub.ListMeetings, request, context)  # type: ignore[no-any-return]

    async def GetMeeting(self, request: meetings.GetMeetingRequest, context: Any) -> meetings.GetMeetingResponse:
        return await _ask(self._stub.GetMeeting, request, context)  # type: ignore[no-any-return]

    async def GetCoverage(self, request: meetings.GetCoverageRequest, context: Any) -> meetings.GetCoverageResponse:
        return await _ask(self._stub.GetCoverage, request, context)  # type: ignore[no-any-return]

    async def WatchMeeting(
        self, request: meetings.WatchMeetingRequest, context: Any
    ) -> AsyncIterator[meetings.WatchMeetingResponse]:
        drained = asyncio.create_task(self._draining.wait(), name="console.relay.drained")
        try:
            async with refusals_passed_on():
                call = self._stub.WatchMeeting(request, metadata=credentials.passed_on(context))
                with held(call):
                    async for event in _until(call, drained):
                        yield event
        finally:
            drained.cancel()


class ConnectorRelay(connector_grpc.ConnectorServiceServicer):
    """Sessions, breakers and the ledger of reconciliation."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = connector_grpc.ConnectorServiceStub(channel)

    async def GetStatus(self, request: connector.GetStatusRequest, context: Any) -> connector.GetStatusResponse:
        return await _ask(self._stub.GetStatus, request, context)  # type: ignore[no-any-return]

    async def ListSessions(
        self, request: connector.ListSessionsRequest, context: Any
    ) -> connector.ListSessionsResponse:
        return await _ask(self._stub.ListSessions, request, context)  # type: ignore[no-any-return]

    async def GetCircuitBreaker(
        self, request: connector.GetCircuitBreakerRequest, context: Any
    ) -> connector.GetCircuitBreakerResponse:
        return await _ask(self._stub.GetCircuitBreaker, request, context)  # type: ignore[no-any-return]

    async def ListDecisions(
        self, request: connector.ListDecisionsRequest, context: Any
    ) -> connector.ListDecisionsResponse:
        return await _ask(self._stub.ListDecisions, request, context)  # type: ignore[no-any-return]

    async def ListProviders(
        self, request: connector.ListProvidersRequest, context: Any
    ) -> connector.ListProvidersResponse:
        return await _ask(self._stub.ListProviders, request, context)  # type: ignore[no-any-return]


class ReportRelay(reports_grpc.ReportServiceServicer):
    """Reports and what became of their deliveries."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = reports_grpc.ReportServiceStub(channel)

    async def GetReport(self, request: reports.GetReportRequest, context: Any) -> reports.GetReportResponse:
        return await _ask(self._stub.GetReport, request, context)  # type: ignore[no-any-return]

    async def ListDeliveries(
        self, request: reports.ListDeliveriesRequest, context: Any
    ) -> reports.ListDeliveriesResponse:
        return await _ask(self._stub.ListDeliveries, request, context)  # type: ignore[no-any-return]


def relayed_services(channels: Mapping[str, grpc.aio.Channel], draining: asyncio.Event) -> list[RpcService]:
    """Return the services to add to the gateway's server.

    Args:
        channels: to the rooms, without credentials of our own.
        draining: set when the gateway starts to stop.
    """
    return [
        RpcService(
            meetings.DESCRIPTOR.services_by_name["MeetingService"],
            MeetingRelay(channels["ingest"], draining),  # type: ignore[abstract]  # the rest answers UNIMPLEMENTED
            meetings_grpc.add_MeetingServiceServicer_to_server,
        ),
        RpcService(
            connector.DESCRIPTOR.services_by_name["ConnectorService"],
            ConnectorRelay(channels["connector"]),  # type: ignore[abstract]
            connector_grpc.add_ConnectorServiceServicer_to_server,
        ),
        RpcService(
            reports.DESCRIPTOR.services_by_name["ReportService"],
            ReportRelay(channels["report"]),  # type: ignore[abstract]
            reports_grpc.add_ReportServiceServicer_to_server,
        ),
    ]


async def _ask(call: Any, request: Any, context: Any) -> Any:
    async with refusals_passed_on():
        return await call(request, metadata=credentials.passed_on(context), timeout=call_seconds(context))


async def _until(call: Any, drained: "asyncio.Task[Any]") -> AsyncIterator[Any]:
    """Give what a call brings until it ends or the gateway drains."""
    while True:
        reading = asyncio.ensure_future(call.read())
        try:
            await asyncio.wait({reading, drained}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                return
            event = reading.result()
        finally:
            reading.cancel()
        if event is grpc.aio.EOF:
            return
        yield event
