"""Chunks to ingest: one call each, answered when the audio is on disk, known again whoever repeats it."""

import hashlib

import grpc

from agent.ingest.v1.audio_service_pb2 import PutChunkRequest, PutInternalChunkRequest
from agent.ingest.v1.audio_service_pb2_grpc import InternalAudioServiceStub
from kit.auth.authenticator import TENANT_ID
from kit.errors import Unavailable
from kit.rpc.status import RpcProblem, error_of
from services.connector.provider import Chunk, ChunkRefused, JoinSpec
from services.connector.uplink.uplink import BASES, FINISHED, MeetingOver, UplinkRefused

_PUT_SECONDS = 30.0
_MOST_KEY_CHARACTERS = 128
_UNREADABLE = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE})
_REFUSALS = frozenset(
    {
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)


class ChunkUplink:
    """Takes the chunks of one meeting (see `ChunkSink`) to ingest, which keeps the ledger of those it has.

    Args:
        channel: to ingest.
        spec: the meeting.
        provider: where the chunks come from; a part of each chunk's key.
    """

    def __init__(self, channel: grpc.aio.Channel, spec: JoinSpec, provider: str) -> None:
        self._stub = InternalAudioServiceStub(channel)
        self._spec = spec
        self._provider = provider

    async def put(self, chunk: Chunk) -> bool:
        """Bring a chunk to ingest's disk; returns False if it had come before, also to a connector before this one.

        Raises:
            ChunkRefused: it cannot be read.
            Unavailable: ingest is away or full; the same chunk may be put again.
            MeetingOver: the meeting was finished by somebody else.
            UplinkRefused: ingest takes nothing for this meeting.
        """
        request = PutChunkRequest(
            content=chunk.content,
            encoding=chunk.encoding,
            sample_rate_hertz=chunk.sample_rate_hertz,
            idempotency_key=self._key(chunk),
            participant_id=chunk.participant_id,
            display_name=chunk.display_name,
            basis=BASES[chunk.basis],
            language=self._spec.language,
            start_ms=chunk.start_ms,
        )
        return not await self._put(request)

    async def finish(self) -> None:
        """Finish the meeting: nothing more will be put. To be called when the call has been left and pulled dry.

        Raises:
            Unavailable: ingest is away; it may be called again.
            UplinkRefused: ingest takes nothing for this meeting.
        """
        try:
            await self._put(PutChunkRequest(last=True))
        except MeetingOver:
            return  # as it should be

    async def _put(self, request: PutChunkRequest) -> bool:
        """Make the call; returns whether the chunk had come before."""
        call = PutInternalChunkRequest(meeting_id=self._spec.meeting_id, chunk=request)
        tenant = ((TENANT_ID, self._spec.tenant_id),)
        try:
            response = await self._stub.PutInternalChunk(call, metadata=tenant, timeout=_PUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _explained(error_of(error)) from error
        return response.chunk.duplicate

    def _key(self, chunk: Chunk) -> str:
        key = f"{self._provider}:{self._spec.meeting_id}:{chunk.key}"
        return key if len(key) <= _MOST_KEY_CHARACTERS else hashlib.sha256(key.encode()).hexdigest()


def _explained(problem: RpcProblem) -> Exception:
    sentence = f"{problem.code.name}: {problem.message or problem.reason}"
    if problem.reason == FINISHED:
        return MeetingOver("the meeting was finished")
    if problem.code in _UNREADABLE:
        return ChunkRefused(sentence)
    if problem.code in _REFUSALS:
        return UplinkRefused(sentence)
    return Unavailable(f"ingest does not take audio now: {sentence}", retry_after_seconds=problem.retry_after_seconds)
