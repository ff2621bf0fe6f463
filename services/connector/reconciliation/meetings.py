"""Whether a meeting is still running, as ingest knows it."""

from collections.abc import Awaitable
from typing import Any, Protocol

import grpc

from agent.ingest.v1 import meeting_service_pb2 as pb
from kit.auth.authenticator import TENANT_ID
from services.connector.sessions.record import Record

_ASK_SECONDS = 5.0
_OVER = ("finishing", "finished", "failed")


class MeetingCalls(Protocol):
    """The stub of `agent.ingest.v1.MeetingService`."""

    def GetMeeting(self, request: pb.GetMeetingRequest, /, *, timeout: float, metadata: Any) -> Awaitable[Any]: ...


class RunningMeetings:
    """Asks ingest."""

    def __init__(self, stub: MeetingCalls) -> None:
        self._stub = stub

    async def over(self, record: Record) -> str:
        """Return why a session's meeting needs no recorder any more; empty if it does, or nobody can say."""
        request = pb.GetMeetingRequest(meeting_id=record.meeting_id)
        try:
            answer = await self._stub.GetMeeting(
                request, timeout=_ASK_SECONDS, metadata=((TENANT_ID, record.tenant_id),)
            )
        except grpc.aio.AioRpcError as error:
            # Ingest being away is no reason to stay out of the call: the uplink keeps what is said meanwhile.
            return "the meeting is not there any more" if error.code() is grpc.StatusCode.NOT_FOUND else ""
        return "the meeting is over" if answer.meeting.state in _OVER else ""
