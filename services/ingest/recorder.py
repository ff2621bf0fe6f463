"""The recorder that is sent into calls: the connector, asked on behalf of a meeting."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from agent.connector.v1 import connector_service_pb2 as connector
from kit.auth.authenticator import TENANT_ID
from kit.errors import AppError, InvalidArgument
from kit.rpc.status import RpcProblem, error_of
from kit.telemetry import logs
from services.ingest.errors import ConnectorAway, ProviderDisabled, ProviderFailed, ProviderUnknown
from services.ingest.rows import MeetingRow

_JOIN_SECONDS = 20.0
_LEAVE_SECONDS = 10.0
_ASK_SECONDS = 5.0
_OVER = (connector.SESSION_STATE_ENDED, connector.SESSION_STATE_FAILED)
_IN = (connector.SESSION_STATE_LIVE, connector.SESSION_STATE_DEGRADED)

log = logs.get()


class ConnectorCalls(Protocol):
    """The stub of `agent.connector.v1.ConnectorService`."""

    def Join(self, request: connector.JoinRequest, /, *, timeout: float, metadata: Any) -> Awaitable[Any]: ...

    def GetStatus(self, request: connector.GetStatusRequest, /, *, timeout: float, metadata: Any) -> Awaitable[Any]: ...

    def Leave(self, request: connector.LeaveRequest, /, *, timeout: float, metadata: Any) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Presence:
    """The recorder in a call: `state` is the connector's word for its session, `reason` why it is in it."""

    state: str
    reason: str
    over: bool
    failed: bool


class Recorder:
    """Joins and leaves; a connector that is away is an answer, not a failure of the meeting."""

    def __init__(self, stub: ConnectorCalls) -> None:
        self._stub = stub

    async def join(self, meeting: MeetingRow) -> tuple[bool, str]:
        """Send the recorder in; returns whether it is in, and why not."""
        try:
            session = await self._join(meeting)
        except grpc.aio.AioRpcError as error:
            problem = error_of(error)
            return False, problem.message or problem.reason or problem.code.name
        # In the call, if nothing has been heard yet: a session is live from its first sample on.
        entered = session.state in _IN or (session.HasField("join_time") and session.state not in _OVER)
        return entered, "" if entered else session.reason or "the recorder is still on its way"

    async def send(self, meeting: MeetingRow) -> Presence:
        """Send the recorder in; it may still be on its way then.

        Raises:
            ProviderUnknown: there is no such provider.
            ProviderDisabled: it is off; the message says what to set.
            ProviderFailed: the call cannot be joined.
            InvalidArgument: the connector does not take the meeting's address or language.
            ConnectorAway: it does not answer.
        """
        try:
            return _presence(await self._join(meeting))
        except grpc.aio.AioRpcError as error:
            raise _error(error_of(error), meeting.provider) from error

    async def presence(self, meeting: MeetingRow) -> Presence | None:
        """Return how the recorder fares; None if the connector knows of none.

        Raises:
            ConnectorAway: it does not answer.
        """
        request = connector.GetStatusRequest(meeting_id=meeting.meeting_id)
        try:
            answer = await self._stub.GetStatus(request, timeout=_ASK_SECONDS, metadata=_metadata(meeting))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise ConnectorAway(error_of(error).message) from error
        return _presence(answer.session)

    async def _join(self, meeting: MeetingRow) -> connector.Session:
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
            raise
        return answer.session  # type: ignore[no-any-return]

    async def leave(self, meeting: MeetingRow) -> None:
        """Take the recorder out, if it is in."""
        request = connector.LeaveRequest(meeting_id=meeting.meeting_id, reason="the meeting was finished")
        try:
            await self._stub.Leave(request, timeout=_LEAVE_SECONDS, metadata=_metadata(meeting))
        except grpc.aio.AioRpcError as error:
            log.info("recorder_did_not_leave", code=error.code().name, reason=error_of(error).reason)


def _metadata(meeting: MeetingRow) -> tuple[tuple[str, str], ...]:
    return ((TENANT_ID, meeting.tenant_id),)


def _presence(session: connector.Session) -> Presence:
    return Presence(
        connector.SessionState.Name(session.state),
        session.reason,
        over=session.state in _OVER,
        failed=session.state == connector.SESSION_STATE_FAILED,
    )


def _error(problem: RpcProblem, provider: str) -> AppError:
    """Return what the connector said as an error of this room's."""
    match problem.reason:
        case "ERROR_REASON_PROVIDER_DISABLED":
            return ProviderDisabled(problem.message, provider=provider)
        case "ERROR_REASON_PROVIDER_UNKNOWN":
            return ProviderUnknown(problem.message, provider=provider)
        case "ERROR_REASON_PROVIDER_FAILED" | "ERROR_REASON_PROVIDER_BREAKER_OPEN":
            return ProviderFailed(problem.message, provider=provider)
        case "ERROR_REASON_INVALID_FIELD":
            return InvalidArgument(problem.message)
    return ConnectorAway(problem.message)
