"""MeetingService, AudioService and the inner contour: what the contract asks, answered by the nouns of this room."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from agent.ingest.v1 import audio_service_pb2 as audio
from agent.ingest.v1 import audio_service_pb2_grpc as audio_grpc
from agent.ingest.v1 import meeting_service_pb2 as meeting
from agent.ingest.v1 import meeting_service_pb2_grpc as meeting_grpc
from agent.ingest.v1 import recorder_service_pb2_grpc as recorder_grpc
from kit.auth.principal import current_principal
from services.ingest.chunks import ChunkDoor
from services.ingest.live_meetings import LiveMeetings
from services.ingest.meetings import Meetings
from services.ingest.repository import IngestRepository
from services.ingest.session import MeetingKey
from services.ingest.stream import AudioStream
from services.ingest.watch import Watcher


class MeetingServicer(meeting_grpc.MeetingServiceServicer):
    """Meetings. DeleteMeeting is not part of this release and answers UNIMPLEMENTED."""

    def __init__(self, meetings: Meetings, watcher: Watcher) -> None:
        self._meetings = meetings
        self._watcher = watcher

    async def StartMeeting(self, request: meeting.StartMeetingRequest, context: object) -> meeting.StartMeetingResponse:
        return await self._meetings.start(current_principal(), request)

    async def GetMeeting(self, request: meeting.GetMeetingRequest, context: object) -> meeting.GetMeetingResponse:
        return meeting.GetMeetingResponse(meeting=await self._meetings.get(_key(request.meeting_id)))

    async def ListMeetings(self, request: meeting.ListMeetingsRequest, context: object) -> meeting.ListMeetingsResponse:
        return await self._meetings.list(current_principal().tenant_id, request)

    async def FinishMeeting(
        self, request: meeting.FinishMeetingRequest, context: object
    ) -> meeting.FinishMeetingResponse:
        return meeting.FinishMeetingResponse(meeting=await self._meetings.finish(_key(request.meeting_id)))

    async def GetCoverage(self, request: meeting.GetCoverageRequest, context: object) -> meeting.GetCoverageResponse:
        return await self._meetings.coverage(_key(request.meeting_id))

    async def WatchMeeting(
        self, request: meeting.WatchMeetingRequest, context: object
    ) -> AsyncIterator[meeting.WatchMeetingResponse]:
        async for event in self._watcher.watch(_key(request.meeting_id), request.after, interim=request.interim):
            yield event


class AudioServicer(audio_grpc.AudioServiceServicer):
    """Audio from users' programs and from rooms."""

    def __init__(
        self,
        live: LiveMeetings,
        repository: IngestRepository,
        chunks: ChunkDoor,
        draining: asyncio.Event,
        heartbeat_seconds: float,
    ) -> None:
        self._live = live
        self._repository = repository
        self._chunks = chunks
        self._draining = draining
        self._heartbeat_seconds = heartbeat_seconds

    async def StreamAudio(  # type: ignore[override]  # the stub's type leaves out handlers that read and write
        self, request_iterator: object, context: Any
    ) -> None:
        stream = AudioStream(context, self._live, self._repository, self._draining, self._heartbeat_seconds)
        await stream.run(current_principal().tenant_id)

    async def PutChunk(self, request: audio.PutChunkRequest, context: object) -> audio.PutChunkResponse:
        return await self._chunks.put(current_principal().tenant_id, request)


class InternalAudioServicer(audio_grpc.InternalAudioServiceServicer):
    """The inner contour: the same door, services only."""

    def __init__(self, chunks: ChunkDoor) -> None:
        self._chunks = chunks

    async def PutInternalChunk(
        self, request: audio.PutInternalChunkRequest, context: object
    ) -> audio.PutInternalChunkResponse:
        chunk = audio.PutChunkRequest()
        chunk.CopyFrom(request.chunk)
        chunk.meeting_id = request.meeting_id or chunk.meeting_id
        return audio.PutInternalChunkResponse(chunk=await self._chunks.put(current_principal().tenant_id, chunk))


class RecorderServicer(recorder_grpc.RecorderServiceServicer):
    """Quick recording is not part of this release: every RPC answers UNIMPLEMENTED."""


def _key(meeting_id: str) -> MeetingKey:
    return MeetingKey(current_principal().tenant_id, meeting_id)
