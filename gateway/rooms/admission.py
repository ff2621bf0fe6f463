"""Who may enter a call: people who may see its meeting, and the mesh's own recorder."""

from collections.abc import Mapping
from typing import Any

import grpc

from agent.ingest.v1 import meeting_service_pb2 as pb
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from gateway import credentials
from gateway.rooms.protocol import Join, SignallingError
from kit.auth.authenticator import TENANT_ID
from kit.auth.gate import Gate
from kit.errors import AppError, PermissionDenied

RECORDER = "/v1/rooms/{room}/signal (recorder)"
"""The role that only services may claim, as a rule's path."""

_ASK_SECONDS = 10.0
_OVER = frozenset({"finished", "failed"})
_CODES = {
    grpc.StatusCode.NOT_FOUND: "meeting-not-found",
    grpc.StatusCode.INVALID_ARGUMENT: "meeting-not-found",
    grpc.StatusCode.UNAUTHENTICATED: "unauthenticated",
    grpc.StatusCode.PERMISSION_DENIED: "forbidden",
}


class Admission:
    """Asks ingest, with the guest's own credentials, whether the meeting is there for them.

    Args:
        ingest: channel without credentials of our own.
        gate: with a rule for RECORDER; who claims that role stands in the audit trail, whatever becomes of it.
    """

    def __init__(self, ingest: grpc.aio.Channel, gate: Gate) -> None:
        self._meetings = MeetingServiceStub(ingest)
        self._gate = gate

    async def admit(self, join: Join, meeting_id: str, headers: Mapping[str, str], *, request_id: str) -> None:
        """Return if `join` may enter.

        Raises:
            SignallingError: unauthenticated, forbidden, meeting-not-found, meeting-finished or unavailable.
        """
        try:
            metadata = credentials.from_headers(headers, request_id=request_id)
            if join.token:
                tenant = [pair for pair in metadata if pair[0] == TENANT_ID]
                metadata = (*credentials.from_token(join.token), *tenant)
            if join.role == "recorder":
                await self._gate.admit(RECORDER, dict(metadata))
        except PermissionDenied as error:
            raise SignallingError("forbidden", needs="service") from error
        except AppError as error:
            raise SignallingError(_CODES.get(error.code, "unauthenticated")) from error
        call: Any = self._meetings.GetMeeting(
            pb.GetMeetingRequest(meeting_id=meeting_id), metadata=metadata, timeout=_ASK_SECONDS
        )
        try:
            response: pb.GetMeetingResponse = await call
        except grpc.aio.AioRpcError as error:
            raise SignallingError(_CODES.get(error.code(), "unavailable")) from error
        if response.meeting.state in _OVER:
            raise SignallingError("meeting-finished")
