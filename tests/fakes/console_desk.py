"""What a gateway answers operators beside its stream, on a real server: jobs, trail, meetings, connector, actions."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from agent.connector.v1 import connector_service_pb2 as connector
from agent.connector.v1.connector_service_pb2_grpc import (
    ConnectorServiceServicer,
    add_ConnectorServiceServicer_to_server,
)
from agent.console.v1 import admin_service_pb2 as admin
from agent.console.v1 import console_service_pb2 as pb
from agent.console.v1.admin_service_pb2_grpc import AdminServiceServicer, add_AdminServiceServicer_to_server
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceServicer, add_MeetingServiceServicer_to_server
from agent.report.v1 import report_service_pb2 as reports
from agent.report.v1.report_service_pb2_grpc import ReportServiceServicer, add_ReportServiceServicer_to_server
from kit.auth.principal import ADMIN_READ, EVERY_SCOPE, Principal, current_principal
from kit.auth.tenant import for_tenant
from kit.errors import AppError, FailedPrecondition, NotFound, Unauthenticated
from kit.rpc.server import RpcService

SERVICE_KEY = "service-key-of-the-tests"
USER_KEY = "user-key-of-the-tests"
VIEWER_KEY = "viewer-key-of-the-tests"
PAYLOAD = '{"event": "report.ready", "meeting_id": "mt-2231", "url": "https://crm.example/hooks/****"}'
"""What every job works on."""


class Callers:
    """An operator, a viewer and a user."""

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        match metadata.get("x-api-key"):
            case "service-key-of-the-tests":
                return for_tenant(Principal("ana", "service", scopes=EVERY_SCOPE), metadata)
            case "viewer-key-of-the-tests":
                return Principal("vera", "service", scopes=frozenset({ADMIN_READ}))
            case "user-key-of-the-tests":
                return Principal("user", "user")
        raise Unauthenticated

    async def checks(self) -> Any:
        return ()


class StateChanged(FailedPrecondition):
    """It is in another state."""

    reason = "ERROR_REASON_STATE_CHANGED"


class DeskData:
    """Rows that the test changes, and the actions that came."""

    def __init__(self) -> None:
        self.jobs: dict[str, admin.Job] = {}
        self.audit: list[admin.AuditEvent] = []
        self.meetings: list[meetings.Meeting] = []
        self.deliveries: list[reports.Delivery] = []
        self.participants: list[connector.SessionParticipant] = []
        self.history: list[connector.BreakerChange] = []
        self.decisions: list[connector.Decision] = []
        self.checks: list[admin.SystemCheck] = []
        self.storage: list[admin.StorageHealth] = []
        self.events: list[meetings.WatchMeetingResponse] = []
        """What every watcher of a meeting is sent first."""
        self.actions: list[pb.RunActionRequest] = []
        self.tenants: set[str] = set()
        """Tenants that meetings were asked for and acts were for."""
        self.refusal: AppError | None = None
        """What the next actions end with."""
        self._watchers: set[asyncio.Queue[meetings.WatchMeetingResponse | None]] = set()

    def add_jobs(self, queue: str, *job_ids: str, state: str = "dead", error: str = "HTTP 503") -> None:
        """Add jobs; the first is the newest."""
        for job_id in job_ids:
            self.jobs[job_id] = admin.Job(
                job_id=job_id, queue=queue, kind="deliver", key="m-1", state=state, attempts=5, max_attempts=5,
                last_error=error, payload=PAYLOAD,
            )  # fmt: skip

    @property
    def watchers(self) -> int:
        """Meetings' streams open now."""
        return len(self._watchers)

    def say(self, event: meetings.WatchMeetingResponse | None) -> None:
        """Send an event to every watcher, now and later; None ends the streams."""
        if event is not None:
            self.events.append(event)
        for watcher in self._watchers:
            watcher.put_nowait(event)

    def act(self, request: pb.RunActionRequest) -> str:
        """Carry out an action on the rows."""
        self.actions.append(request)
        self.tenants.add(current_principal().tenant_id)
        if self.refusal is not None:
            raise self.refusal
        verb = request.action.partition(".")[2]
        if request.action.startswith("job."):
            job = self.jobs.get(request.target.partition("/")[2])
            if job is None:
                raise NotFound("There is no such job.")
            if job.state != request.expected_state:
                raise StateChanged(expected=request.expected_state, actual=job.state)
            if verb == "drop":
                del self.jobs[job.job_id]
            else:
                job.state = "ready"
        return f"Done: {verb} {request.target}."

    async def watch(self) -> AsyncIterator[meetings.WatchMeetingResponse]:
        """Give what was said and what is said."""
        queue: asyncio.Queue[meetings.WatchMeetingResponse | None] = asyncio.Queue(1000)
        for said in self.events:
            queue.put_nowait(said)
        self._watchers.add(queue)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._watchers.discard(queue)


class _Admin(AdminServiceServicer):
    def __init__(self, data: DeskData) -> None:
        self.data = data

    async def GetQueuesHealth(self, request: Any, context: Any) -> Any:
        queues = {job.queue for job in self.data.jobs.values() if job.state == "dead"}
        return admin.GetQueuesHealthResponse(queues=[admin.QueueHealth(queue=name, dead=1) for name in sorted(queues)])

    async def GetStorageHealth(self, request: Any, context: Any) -> Any:
        return admin.GetStorageHealthResponse(rooms=self.data.storage)

    async def GetSystemReadiness(self, request: Any, context: Any) -> Any:
        return admin.GetSystemReadinessResponse(checks=self.data.checks)

    async def ListAuditEvents(self, request: Any, context: Any) -> Any:
        events = [event for event in self.data.audit if request.outcome in ("", event.outcome)]
        return admin.ListAuditEventsResponse(events=events[: request.page_size])

    async def ListJobs(self, request: Any, context: Any) -> Any:
        jobs = [job for job in self.data.jobs.values() if job.queue == request.queue]
        return admin.ListJobsResponse(jobs=[job for job in jobs if request.state in ("", job.state)])

    async def RequeueJob(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    DropJob = RequeueJob


class _Meetings(MeetingServiceServicer):
    def __init__(self, data: DeskData) -> None:
        self.data = data

    async def ListMeetings(self, request: Any, context: Any) -> Any:
        self.data.tenants.add(current_principal().tenant_id)
        return meetings.ListMeetingsResponse(meetings=self.data.meetings)

    async def WatchMeeting(self, request: Any, context: Any) -> AsyncIterator[Any]:
        if request.meeting_id == "m-none":
            raise NotFound("No meeting with this id is visible to the caller.")
        async for event in self.data.watch():
            yield event


class _Connector(ConnectorServiceServicer):
    def __init__(self, data: DeskData) -> None:
        self.data = data

    async def GetStatus(self, request: Any, context: Any) -> Any:
        session = connector.Session(meeting_id=request.meeting_id, participants=self.data.participants)
        return connector.GetStatusResponse(session=session)

    async def GetCircuitBreaker(self, request: Any, context: Any) -> Any:
        breaker = connector.CircuitBreaker(provider=request.provider, history=self.data.history)
        return connector.GetCircuitBreakerResponse(breaker=breaker)

    async def ListDecisions(self, request: Any, context: Any) -> Any:
        return connector.ListDecisionsResponse(decisions=self.data.decisions)


class _Reports(ReportServiceServicer):
    def __init__(self, data: DeskData) -> None:
        self.data = data

    async def ListDeliveries(self, request: Any, context: Any) -> Any:
        return reports.ListDeliveriesResponse(deliveries=self.data.deliveries)


def desk_services(data: DeskData) -> list[RpcService]:
    """Return the services; what they do not define answers UNIMPLEMENTED."""
    return [
        RpcService(admin.DESCRIPTOR.services_by_name["AdminService"], _Admin(data), add_AdminServiceServicer_to_server),
        RpcService(
            meetings.DESCRIPTOR.services_by_name["MeetingService"],
            _Meetings(data),  # type: ignore[abstract]
            add_MeetingServiceServicer_to_server,
        ),
        RpcService(
            connector.DESCRIPTOR.services_by_name["ConnectorService"],
            _Connector(data),  # type: ignore[abstract]
            add_ConnectorServiceServicer_to_server,
        ),
        RpcService(
            reports.DESCRIPTOR.services_by_name["ReportService"],
            _Reports(data),  # type: ignore[abstract]
            add_ReportServiceServicer_to_server,
        ),
    ]
