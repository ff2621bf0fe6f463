"""The recorder that is sent into calls: the connector, asked on behalf of a meeting."""

from collections.abc import Awaitable
from typing import Any, Protocol

import grpc

from agent.connector.v1 import connector_service_pb2 as connector
from kit.auth.authenticator import TENANT_ID
from kit.rpc.status import error_of
from kit.telemetry import logs
from services.ingest.rows import MeetingRow

_JOIN_SECONDS = 20.0
_LEAVE_SECONDS = 10.0
_IN = (connector.SESSION_STATE_LIVE, connector.SESSION_STATE_DEGRADED)

log = logs.get()


class ConnectorCalls(Protocol):
    """The stub of `agent.connector.v1.ConnectorService`."""

    def Join(self, request: connector.JoinRequest, /, *, timeout: float, metadata: Any) -> Awaitable[Any]: ...

    def Leave(self, request: connector.LeaveRequest, /, *, timeout: float, metadata: Any) -> Awaitable[Any]: ...


class Recorder:
    """Joins and leaves; a connector that is away is an answer, not a failure of the meeting."""

    def __init__(self, stub: ConnectorCalls) -> None:
        self._stub = stub

    async def join(self, meeting: MeetingRow) -> tuple[bool, str]:
        """Send the recorder in; returns whether it is in, and why not."""
        request = connector.JoinRequest(
            meeting_id=meeting.meeting_id,
            provider=meeting.provider,
            meeting_url=meeting.provider_ref,
            language=meeting.language,
            request_id=meeting.meeting_id,
        )
        try:
            answer = await self._stub.Join(request, timeout=_JOIN_SECONDS, metadata=_metadata(meeting))
        except grpc.aio.AioRpcError as error:
            problem = error_of(error)
            log.warning("recorder_did_not_join", code=problem.code.name, reason=problem.reason)
            return False, problem.message or problem.reason or problem.code.name
        session = answer.session
        return session.state in _IN, "" if session.state in _IN else session.reason

    async def leave(self, meeting: MeetingRow) -> None:
        """Take the recorder out, if it is in."""
        request = connector.LeaveRequest(meeting_id=meeting.meeting_id, reason="the meeting was finished")
        try:
            await self._stub.Leave(request, timeout=_LEAVE_SECONDS, metadata=_metadata(meeting))
        except grpc.aio.AioRpcError as error:
            log.info("recorder_did_not_leave", code=error.code().name, reason=error_of(error).reason)


def _metadata(meeting: MeetingRow) -> tuple[tuple[str, str], ...]:
    return ((TENANT_ID, meeting.tenant_id),)
