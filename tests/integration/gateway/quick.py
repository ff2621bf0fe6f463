"""Quick recordings that a test scripts: one at a time, from any link."""

from typing import Any
from urllib.parse import urlsplit

from agent.ingest.v1 import recorder_service_pb2 as pb
from agent.ingest.v1 import recorder_service_pb2_grpc
from kit.errors import FailedPrecondition
from tests.integration.gateway import interview


class ProviderDisabled(FailedPrecondition):
    """The provider is off in this installation."""

    reason = "ERROR_REASON_PROVIDER_DISABLED"


class QuickRecordings(recorder_service_pb2_grpc.RecorderServiceServicer):
    """The latest recording; `off` is why none can be begun."""

    def __init__(self) -> None:
        self.recording = pb.Recording(state="idle")
        self.wished: list[pb.StartRecordingRequest] = []
        self.off = ""

    async def StartRecording(self, request: Any, context: Any) -> Any:
        self.wished.append(request)
        if self.off:
            raise ProviderDisabled(self.off)
        self.recording = pb.Recording(
            recording_id=interview.MEETING_ID,
            meeting_id=interview.MEETING_ID,
            state="recording",
            url=urlsplit(request.url)._replace(query="", fragment="").geturl(),
        )
        return pb.StartRecordingResponse(recording=self.recording)

    async def GetRecordingStatus(self, request: Any, context: Any) -> Any:
        if self.recording.state == "recording":
            self.recording.seconds += 1
        return pb.GetRecordingStatusResponse(recording=self.recording)

    async def StopRecording(self, request: Any, context: Any) -> Any:
        if request.recording_id == self.recording.recording_id:
            self.recording.state = "done"
        return pb.StopRecordingResponse(recording=self.recording)
