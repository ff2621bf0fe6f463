"""MeetingService, AudioService and the inner contour: what the contract asks, answered by the nouns of this room."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from operator import attrgetter
from typing import Any

import grpc
from google.api import httpbody_pb2

from agent.ingest.v1 import audio_service_pb2 as audio
from agent.ingest.v1 import audio_service_pb2_grpc as audio_grpc
from agent.ingest.v1 import meeting_service_pb2 as meeting
from agent.ingest.v1 import meeting_service_pb2_grpc as meeting_grpc
from kit.auth.principal import current_principal
from kit.errors import InvalidArgument
from kit.telemetry import logs
from services.ingest.erasure.erasure import Erasure, tombstone_message
from services.ingest.errors import MeetingNotFound
from services.ingest.intake.chunks import ChunkDoor
from services.ingest.intake.session import MeetingKey
from services.ingest.intake.stream import AudioStream
from services.ingest.live.aftermath import Aftermath
from services.ingest.live.meetings import LiveMeetings
from services.ingest.meetings import Meetings
from services.ingest.recordings.recordings import Recordings
from services.ingest.replicas.door import Door, Owner, forwarded_for
from services.ingest.replicas.forward import Forwarder
from services.ingest.repository import IngestRepository
from services.ingest.rows import QUICK_RECORDING
from services.ingest.watching.watch import Watcher

_ASK_SECONDS = 2.0
_GET = attrgetter("meetings.GetMeeting")
_FINISH = attrgetter("meetings.FinishMeeting")
_DELETE = attrgetter("meetings.DeleteMeeting")
_COVERAGE = attrgetter("meetings.GetCoverage")
_PUT = attrgetter("audio.PutChunk")
_PUT_INTERNAL = attrgetter("internal.PutInternalChunk")

log = logs.get()


class MeetingServicer(meeting_grpc.MeetingServiceServicer):
    """Meetings."""

    def __init__(
        self,
        meetings: Meetings,
        watcher: Watcher,
        door: Door,
        forwarder: Forwarder,
        recordings: Recordings,
        erasure: Erasure,
        aftermath: Aftermath | None = None,
    ) -> None:
        """Store what the servicer works with; `aftermath` if whoever ends a meeting waits for its report."""
        self._meetings = meetings
        self._watcher = watcher
        self._door = door
        self._forwarder = forwarder
        self._recordings = recordings
        self._erasure = erasure
        self._aftermath = aftermath

    async def StartMeeting(self, request: meeting.StartMeetingRequest, context: object) -> meeting.StartMeetingResponse:
        if QUICK_RECORDING in request.context:  # by which quick recordings leave out text or report; theirs alone
            raise InvalidArgument(f"has {QUICK_RECORDING!r}, which the server keeps for itself", field="context")
        return await self._meetings.start(current_principal(), request)

    async def GetMeeting(self, request: meeting.GetMeetingRequest, context: Any) -> meeting.GetMeetingResponse:
        key = _key(request.meeting_id)
        try:
            return await self._get(key, request, context)
        except MeetingNotFound:
            raise await self._erasure.absence(key) from None

    async def _get(
        self, key: MeetingKey, request: meeting.GetMeetingRequest, context: Any
    ) -> meeting.GetMeetingResponse:
        if (owner := await self._owner(key, context)) is not None:
            try:
                return await self._forwarder.ask(owner, _GET, request, seconds=_ASK_SECONDS)  # type: ignore[no-any-return]
            except grpc.aio.AioRpcError as error:  # all but the length so far is in the store
                log.info("forward_lost", owner=owner.replica_id, code=error.code().name)
        return meeting.GetMeetingResponse(meeting=await self._meetings.get(key))

    async def ListMeetings(self, request: meeting.ListMeetingsRequest, context: object) -> meeting.ListMeetingsResponse:
        return await self._meetings.list(current_principal().tenant_id, request)

    async def FinishMeeting(self, request: meeting.FinishMeetingRequest, context: Any) -> meeting.FinishMeetingResponse:
        key = _key(request.meeting_id)
        response = await self._finish(key, request, context)
        over = self._aftermath is not None and await self._aftermath.wait(key, context.time_remaining())
        return meeting.FinishMeetingResponse(meeting=await self._meetings.finish(key)) if over else response

    async def _finish(
        self, key: MeetingKey, request: meeting.FinishMeetingRequest, context: Any
    ) -> meeting.FinishMeetingResponse:
        if (owner := await self._owner(key, context)) is not None:
            return await self._forwarder.unary(key, owner, _FINISH, request, context)  # type: ignore[no-any-return]
        return meeting.FinishMeetingResponse(meeting=await self._meetings.finish(key))

    async def DeleteMeeting(self, request: meeting.DeleteMeetingRequest, context: Any) -> meeting.DeleteMeetingResponse:
        key = _key(request.meeting_id)
        # Asked before the row is gone that tells it.
        owner = await self._door.elsewhere(key, context) if forwarded_for(context) is None else None
        with suppress(MeetingNotFound):
            await self._meetings.call_off(key)
        tombstone = await self._erasure.erase(key, erased_by=current_principal().subject, reason=request.reason)
        if owner is not None:
            try:
                await self._forwarder.ask(owner, _DELETE, request, seconds=_ASK_SECONDS)
            except grpc.aio.AioRpcError as error:  # it finds out by itself as soon as it writes
                log.warning("forward_lost", owner=owner.replica_id, code=error.code().name)
        return meeting.DeleteMeetingResponse(tombstone=tombstone_message(tombstone))

    async def GetAudio(
        self, request: meeting.GetAudioRequest, context: object
    ) -> AsyncIterator[meeting.GetAudioResponse]:
        key = _key(request.meeting_id)
        recording = await self._recordings.find(key, request.participant_id, request.format)
        content_type = recording.format.content_type
        async with aclosing(self._recordings.pieces(recording)) as pieces:
            async for piece in pieces:
                yield meeting.GetAudioResponse(body=httpbody_pb2.HttpBody(content_type=content_type, data=piece))
                content_type = ""  # once is enough

    async def GetCoverage(self, request: meeting.GetCoverageRequest, context: Any) -> meeting.GetCoverageResponse:
        key = _key(request.meeting_id)
        if (owner := await self._owner(key, context)) is not None:
            return await self._forwarder.unary(key, owner, _COVERAGE, request, context)  # type: ignore[no-any-return]
        return await self._meetings.coverage(key)

    async def WatchMeeting(
        self, request: meeting.WatchMeetingRequest, context: Any
    ) -> AsyncIterator[meeting.WatchMeetingResponse]:
        key = _key(request.meeting_id)
        relayed = forwarded_for(context) is not None
        if relayed:
            await self._door.elsewhere(key, context)
        async for event in self._watcher.watch(key, request.after, interim=request.interim, relayed=relayed):
            yield event

    async def _owner(self, key: MeetingKey, context: Any) -> Owner | None:
        """Return the replica at which a meeting is live now, None if it is here, nobody's or over.

        Raises:
            MeetingNotFound: there is none for this tenant.
        """
        return await self._door.elsewhere(key, context) if await self._meetings.goes_on(key) else None


class AudioServicer(audio_grpc.AudioServiceServicer):
    """Audio from users' programs and from rooms."""

    def __init__(
        self,
        live: LiveMeetings,
        repository: IngestRepository,
        chunks: ChunkDoor,
        door: Door,
        forwarder: Forwarder,
        draining: asyncio.Event,
        heartbeat_seconds: float,
    ) -> None:
        self._live = live
        self._repository = repository
        self._chunks = chunks
        self._door = door
        self._forwarder = forwarder
        self._draining = draining
        self._heartbeat_seconds = heartbeat_seconds

    async def StreamAudio(  # type: ignore[override]  # the stub's type leaves out handlers that read and write
        self, request_iterator: object, context: Any
    ) -> None:
        first = await context.read()
        if first is grpc.aio.EOF:
            return
        if first.WhichOneof("message") == "open":
            key = _key(first.open.meeting_id)
            with logs.bind(meeting_id=key.meeting_id, session_id=first.open.session_id):
                if (owner := await self._door.takes(key, context)) is not None:
                    await self._forwarder.audio(key, owner, first, context)
                    return
        begun = BegunStream(first, context)
        stream = AudioStream(begun, self._live, self._repository, self._draining, self._heartbeat_seconds)
        await stream.run(current_principal().tenant_id)

    async def PutChunk(self, request: audio.PutChunkRequest, context: Any) -> audio.PutChunkResponse:
        self._chunks.check(request)
        key = _key(request.meeting_id)
        if (owner := await self._door.takes(key, context)) is not None:
            return await self._forwarder.unary(key, owner, _PUT, request, context)  # type: ignore[no-any-return]
        return await self._chunks.put(key.tenant_id, request)


class InternalAudioServicer(audio_grpc.InternalAudioServiceServicer):
    """The inner contour: the same door, services only."""

    def __init__(self, chunks: ChunkDoor, door: Door, forwarder: Forwarder) -> None:
        self._chunks = chunks
        self._door = door
        self._forwarder = forwarder

    async def PutInternalChunk(
        self, request: audio.PutInternalChunkRequest, context: Any
    ) -> audio.PutInternalChunkResponse:
        chunk = audio.PutChunkRequest()
        chunk.CopyFrom(request.chunk)
        chunk.meeting_id = request.meeting_id or chunk.meeting_id
        self._chunks.check(chunk)
        key = _key(chunk.meeting_id)
        if (owner := await self._door.takes(key, context)) is not None:
            return await self._forwarder.unary(key, owner, _PUT_INTERNAL, request, context)  # type: ignore[no-any-return]
        return audio.PutInternalChunkResponse(chunk=await self._chunks.put(key.tenant_id, chunk))


class BegunStream:
    """A stream whose first message was read already; it is read again."""

    def __init__(self, first: audio.StreamAudioRequest, context: Any) -> None:
        self._first: audio.StreamAudioRequest | None = first
        self._context = context

    async def read(self) -> Any:
        """Return the next message, `grpc.aio.EOF` at the end."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return await self._context.read()

    async def write(self, message: Any) -> None:
        """Send a message."""
        await self._context.write(message)


def _key(meeting_id: str) -> MeetingKey:
    return MeetingKey(current_principal().tenant_id, meeting_id)
