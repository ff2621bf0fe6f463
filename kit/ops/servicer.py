"""OpsService: the operator's view of one room. RPCs that it does not define here answer UNIMPLEMENTED."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from time import monotonic
from typing import Any, TypeVar

from agent.ops.v1 import ops_service_pb2 as ops
from agent.ops.v1.ops_service_pb2_grpc import OpsServiceServicer, add_OpsServiceServicer_to_server
from kit.ops.audit import list_audit_events, record_audit
from kit.ops.jobs import drop_job, list_jobs, requeue_job
from kit.ops.logs import Wanted, tail_logs
from kit.ops.process import ProcessorMeter, memory_mib, pid, program_version
from kit.ops.readiness import ReadinessWatch
from kit.ops.sources import OpsSources
from kit.rpc.server import RpcServer, RpcService
from kit.telemetry import logs
from kit.telemetry.log_tail import unheard

_SNAPSHOT_SECONDS = 1.0
_SOURCE_SECONDS = 2.0

T = TypeVar("T")

log = logs.get()


class Ops(OpsServiceServicer):
    """Answers from the room's sources; `attach` it to the room's server before the first call."""

    def __init__(self, room: str, sources: OpsSources, draining: asyncio.Event) -> None:
        self._room = room
        self._sources = sources
        self._draining = draining
        self._started = monotonic()
        self._server: RpcServer | None = None
        self._readiness: ReadinessWatch | None = None

    def attach(self, server: RpcServer, readiness: ReadinessWatch) -> None:
        """Say which server the answers are about."""
        self._server = server
        self._readiness = readiness

    async def GetReadiness(self, request: ops.GetReadinessRequest, context: Any) -> ops.GetReadinessResponse:
        checks = await self._readiness.check() if self._readiness else ()
        return ops.GetReadinessResponse(
            ready=all(check.ok for check in checks),
            checks=[ops.ReadinessCheck(name=check.name, ok=check.ok, message=check.message) for check in checks],
        )

    async def ListQueues(self, request: ops.ListQueuesRequest, context: Any) -> ops.ListQueuesResponse:
        return ops.ListQueuesResponse(queues=await self._sources.queues())

    async def ListJobs(self, request: ops.ListJobsRequest, context: Any) -> ops.ListJobsResponse:
        return await list_jobs(self._sources.jobs, request)

    async def RequeueJob(self, request: ops.RequeueJobRequest, context: Any) -> ops.RequeueJobResponse:
        return await requeue_job(self._sources.jobs, request)

    async def DropJob(self, request: ops.DropJobRequest, context: Any) -> ops.DropJobResponse:
        return await drop_job(self._sources.jobs, request)

    async def GetStorageHealth(
        self, request: ops.GetStorageHealthRequest, context: Any
    ) -> ops.GetStorageHealthResponse:
        return await self._sources.storage()

    async def ListAuditEvents(self, request: ops.ListAuditEventsRequest, context: Any) -> ops.ListAuditEventsResponse:
        return await list_audit_events(self._sources.audit, request)

    async def RecordAudit(self, request: ops.RecordAuditRequest, context: Any) -> ops.RecordAuditResponse:
        return await record_audit(self._sources.audit, request)

    async def Watch(self, request: ops.WatchRequest, context: Any) -> AsyncIterator[ops.WatchResponse]:
        meter = ProcessorMeter()
        while True:
            last = self._draining.is_set()  # asked before the snapshot, so that the last one says so
            yield await self._snapshot(meter)
            if last:
                return
            try:
                async with asyncio.timeout(_SNAPSHOT_SECONDS):
                    await self._draining.wait()
            except TimeoutError:
                continue

    async def TailLogs(self, request: ops.TailLogsRequest, context: Any) -> AsyncIterator[ops.TailLogsResponse]:
        wanted = Wanted.of(request)
        with unheard():  # what sending lines writes at "debug" would be the next lines to send
            async with aclosing(tail_logs(self._room, self._sources.logs, wanted, self._draining)) as responses:
                async for response in responses:
                    yield response

    async def _snapshot(self, meter: ProcessorMeter) -> ops.WatchResponse:
        errors: list[str] = []
        sessions = await _told("sessions", self._sources.sessions, errors)
        queues = await _told("queues", self._sources.queues, errors)
        breakers = await _told("breakers", self._sources.breakers, errors)
        checks = self._readiness.checks if self._readiness else ()
        errors += [f"{check.name}: {check.message}" for check in checks if not check.ok]
        room = ops.RoomStatus(
            room=self._room,
            state=self._state(),
            version=program_version(),
            pid=pid(),
            uptime_seconds=int(monotonic() - self._started),
            memory_mib=memory_mib(),
            cpu_percent=meter.percent(),
            open_rpcs=self._server.open_rpcs if self._server else 0,
            detail=self._sources.detail(),
            error="; ".join(errors),
        )
        return ops.WatchResponse(room=room, sessions=sessions, queues=queues, breakers=breakers)

    def _state(self) -> str:
        if self._draining.is_set():
            return "draining"
        return "serving" if self._server and self._server.health.serving else "not_serving"


async def _told(name: str, source: Callable[[], Awaitable[Sequence[T]]], errors: list[str]) -> Sequence[T]:
    """Return what a source tells; one that fails is an error in the snapshot and the rest stays."""
    try:
        async with asyncio.timeout(_SOURCE_SECONDS):
            return await source()
    except Exception as error:  # an edge: an operator must see a sick room
        log.warning("ops_source_failed", source=name, exc_info=error)
        errors.append(f"{name} cannot be read ({type(error).__name__})")
        return ()


def ops_rpc_service(servicer: Ops) -> RpcService:
    """Return the service to add to the room's server."""
    return RpcService(ops.DESCRIPTOR.services_by_name["OpsService"], servicer, add_OpsServiceServicer_to_server)
