"""AdminService: queues, storage, readiness, jobs and the audit trail of the whole mesh."""

from collections.abc import Mapping
from typing import Any

import grpc

from agent.console.v1 import admin_service_pb2 as pb
from agent.console.v1.admin_service_pb2_grpc import AdminServiceServicer
from agent.ops.v1 import ops_service_pb2 as ops
from gateway.admin.asking import Rooms
from gateway.admin.rows import audit_row, job_row, queue_row, storage_row
from kit.ops.sources import Readiness

_NOT_HERE = frozenset({grpc.StatusCode.NOT_FOUND})
_NO_TRAIL = frozenset({grpc.StatusCode.UNIMPLEMENTED})


class AdminServicer(AdminServiceServicer):
    """Answers from the rooms.

    Args:
        name: of the room that this runs in, for its own checks.
        own_checks: of that room.
        channels: to the other rooms, without credentials of our own.
    """

    def __init__(self, name: str, own_checks: Readiness, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self._name = name
        self._own_checks = own_checks
        self._rooms = Rooms(channels)

    async def GetQueuesHealth(self, request: pb.GetQueuesHealthRequest, context: Any) -> pb.GetQueuesHealthResponse:
        queues: list[pb.QueueHealth] = []
        for answer in await self._rooms.ask_all("ListQueues", ops.ListQueuesRequest(), context):
            if answer.response is None:
                queues.append(pb.QueueHealth(room=answer.room, error=answer.error))
            else:
                queues += [queue_row(answer.room, queue) for queue in answer.response.queues]
        return pb.GetQueuesHealthResponse(ok=not any(row.error or row.dead for row in queues), queues=queues)

    async def GetStorageHealth(self, request: pb.GetStorageHealthRequest, context: Any) -> pb.GetStorageHealthResponse:
        rows: list[pb.StorageHealth] = []
        for answer in await self._rooms.ask_all("GetStorageHealth", ops.GetStorageHealthRequest(), context):
            if answer.response is not None:
                rows.append(storage_row(answer.room, answer.response))
            elif not answer.unimplemented:  # a room without blobs has nothing to tell
                rows.append(pb.StorageHealth(room=answer.room, error=answer.error))
        told = next((row for row in rows if row.mode), pb.StorageHealth())
        return pb.GetStorageHealthResponse(
            ok=bool(rows) and all(row.ok for row in rows), mode=told.mode, path=told.path, rooms=rows
        )

    async def GetSystemReadiness(
        self, request: pb.GetSystemReadinessRequest, context: Any
    ) -> pb.GetSystemReadinessResponse:
        checks: list[pb.SystemCheck] = []
        for answer in await self._rooms.ask_all("GetReadiness", ops.GetReadinessRequest(), context):
            reached = answer.response is not None
            checks.append(pb.SystemCheck(room=answer.room, name="reachable", ok=reached, message=answer.error))
            if answer.response is not None:
                checks += [_check(answer.room, check) for check in answer.response.checks]
        checks += [_check(self._name, check) for check in await self._own_checks()]
        return pb.GetSystemReadinessResponse(ready=all(check.ok for check in checks), checks=checks)

    async def ListAuditEvents(self, request: pb.ListAuditEventsRequest, context: Any) -> pb.ListAuditEventsResponse:
        asked = ops.ListAuditEventsRequest(
            page_size=request.page_size,
            page_token=request.page_token,
            outcome=request.outcome,
            subject=request.subject,
            endpoint=request.endpoint,
            start_time=request.start_time if request.HasField("start_time") else None,
            end_time=request.end_time if request.HasField("end_time") else None,
        )
        # The rooms that keep the trail keep the same one, so any of them tells the whole.
        answer = await self._rooms.first("ListAuditEvents", asked, context, passing=_NO_TRAIL)
        return pb.ListAuditEventsResponse(
            events=[audit_row(event) for event in answer.events], next_page_token=answer.next_page_token
        )

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        asked = ops.ListJobsRequest(
            queue=request.queue, state=request.state, page_size=request.page_size, page_token=request.page_token
        )
        answer = await self._rooms.first("ListJobs", asked, context, passing=_NOT_HERE)
        return pb.ListJobsResponse(jobs=[job_row(job) for job in answer.jobs], next_page_token=answer.next_page_token)

    async def RequeueJob(self, request: pb.RequeueJobRequest, context: Any) -> pb.RequeueJobResponse:
        asked = ops.RequeueJobRequest(
            queue=request.queue,
            job_id=request.job_id,
            expected_state=request.expected_state,
            reason=request.reason,
            request_id=request.request_id,
        )
        answer = await self._rooms.first("RequeueJob", asked, context, passing=_NOT_HERE)
        return pb.RequeueJobResponse(job=job_row(answer.job))

    async def DropJob(self, request: pb.DropJobRequest, context: Any) -> pb.DropJobResponse:
        asked = ops.DropJobRequest(
            queue=request.queue,
            job_id=request.job_id,
            expected_state=request.expected_state,
            reason=request.reason,
            request_id=request.request_id,
        )
        await self._rooms.first("DropJob", asked, context, passing=_NOT_HERE)
        return pb.DropJobResponse()


def _check(room: str, check: Any) -> pb.SystemCheck:
    return pb.SystemCheck(room=room, name=check.name, ok=check.ok, message=check.message)
