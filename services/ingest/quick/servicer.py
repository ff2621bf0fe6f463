"""RecorderService: what the contract asks, answered from the rows of quick recordings."""

from collections.abc import Awaitable, Callable
from typing import Any

from agent.ingest.v1 import recorder_service_pb2 as pb
from agent.ingest.v1 import recorder_service_pb2_grpc as pb_grpc
from kit.auth.principal import current_principal
from services.ingest.intake.session import MeetingKey
from services.ingest.quick.recordings import QuickRecordings
from services.ingest.quick.repository import QuickRow

Length = Callable[[MeetingKey], Awaitable[int]]
"""Returns the length of a meeting so far, in milliseconds, wherever it is live."""


class RecorderServicer(pb_grpc.RecorderServiceServicer):
    """Quick recordings."""

    def __init__(self, recordings: QuickRecordings, length: Length) -> None:
        self._recordings = recordings
        self._length = length

    async def StartRecording(self, request: pb.StartRecordingRequest, context: Any) -> pb.StartRecordingResponse:
        row = await self._recordings.start(current_principal(), request)
        return pb.StartRecordingResponse(recording=await self._message(row))

    async def GetRecordingStatus(
        self, request: pb.GetRecordingStatusRequest, context: Any
    ) -> pb.GetRecordingStatusResponse:
        row = await self._recordings.find(current_principal().tenant_id, request.recording_id)
        return pb.GetRecordingStatusResponse(recording=await self._message(row))

    async def StopRecording(self, request: pb.StopRecordingRequest, context: Any) -> pb.StopRecordingResponse:
        row = await self._recordings.find(current_principal().tenant_id, request.recording_id)
        if row is not None:
            row = await self._recordings.stop(row)
        return pb.StopRecordingResponse(recording=await self._message(row))

    async def _message(self, row: QuickRow | None) -> pb.Recording:
        if row is None:
            return pb.Recording(state="idle")
        return self._recordings.message(row, await self._length(row.key))
