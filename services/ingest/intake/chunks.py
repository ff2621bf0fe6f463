"""Chunks: encoded pieces of a participant's audio, put one after another through the door that streams use."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from agent.common.v1 import audio_pb2 as audio
from agent.ingest.v1 import audio_service_pb2 as pb
from kit.clock import now
from kit.errors import InvalidArgument
from kit.telemetry import logs
from services.ingest.errors import MeetingFinished, MessageTooLarge, SequenceGap
from services.ingest.intake.chunk_ledger import ChunkMark
from services.ingest.intake.decoding import check_encoding, decode
from services.ingest.intake.session import MeetingKey, Session, check_language
from services.ingest.intake.track import Track
from services.ingest.live.meeting import CHUNK_SESSION, LiveMeeting
from services.ingest.live.meetings import LiveMeetings
from services.ingest.settings import IngestSettings
from services.ingest.timeline import (
    BYTES_PER_SAMPLE,
    LAST_SAMPLE,
    MAX_AUDIO_BYTES,
    SAMPLE_RATE_HERTZ,
    milliseconds_of,
)

_SPEAKER = "speaker-1"
_SPEAKER_NAME = "Speaker 1"
_MAX_KEY_CHARACTERS = 128
_DECODES = 2
_MAX_AHEAD_SAMPLES = 24 * 3600 * SAMPLE_RATE_HERTZ
_SAMPLES_PER_MS = SAMPLE_RATE_HERTZ // 1_000
_ROUNDING_SAMPLES = 20 * _SAMPLES_PER_MS
"""A place that is this little after the end is the end: milliseconds are rounded, and so is a change of rate."""
_KNOWN_BASES = (audio.SPEAKER_BASIS_OWN_TRACK, audio.SPEAKER_BASIS_ROSTER)

log = logs.get()


class EndedChunks(Protocol):
    """What the store knows of the chunks of meetings that are over."""

    async def last_chunks(self, key: MeetingKey, session_id: str) -> Mapping[str, Mapping[str, Any]]: ...


class ChunkDoor:
    """Takes chunks; each is answered when its samples are on disk."""

    def __init__(self, meetings: LiveMeetings, settings: IngestSettings, store: EndedChunks) -> None:
        self._meetings = meetings
        self._settings = settings
        self._store = store
        self._decodes = asyncio.Semaphore(_DECODES)

    async def put(self, tenant_id: str, request: pb.PutChunkRequest) -> pb.PutChunkResponse:
        """Take one chunk; one that was taken before is only acknowledged.

        Raises:
            AppError: the chunk breaks the contract, the meeting takes none, or the disk does not.
        """
        self.check(request)
        key = MeetingKey(tenant_id, request.meeting_id)
        participant_id = request.participant_id or _SPEAKER
        try:
            live = await self._meetings.enter(key)
            session = await live.session(CHUNK_SESSION, _now_ms())
        except MeetingFinished:
            return await self._again(key, participant_id, request)
        with logs.bind(meeting_id=request.meeting_id):
            known = session.chunks.find(participant_id, request.sequence, request.idempotency_key)
            if known is None and request.content:
                async with self._decodes:
                    pcm = await asyncio.to_thread(
                        decode,
                        request.content,
                        request.encoding,
                        request.sample_rate_hertz,
                        self._settings.chunk_max_seconds,
                    )
                async with live.chunk_lock:
                    response = await self._append(live, session, participant_id, request, pcm)
            else:
                response = await self._known(session, known)
            if request.last:
                session.finish()
                await session.settled()
                live.request_finish()
            return response

    def check(self, request: pb.PutChunkRequest) -> None:
        """Check what can be checked before anybody looks for the meeting.

        Raises:
            InvalidArgument: the chunk breaks the contract.
        """
        if not request.content and not request.last:
            raise InvalidArgument("is empty", field="content")
        if len(request.content) > self._settings.chunk_max_bytes:
            limit = self._settings.chunk_max_bytes
            raise MessageTooLarge(f"a chunk has at most {limit} bytes", limit)
        if len(request.idempotency_key) > _MAX_KEY_CHARACTERS:
            raise InvalidArgument(f"must have at most {_MAX_KEY_CHARACTERS} characters", field="idempotency_key")
        if not 0 <= request.start_ms * _SAMPLES_PER_MS <= LAST_SAMPLE:
            raise InvalidArgument("is before the timeline, or beyond it", field="start_ms")
        check_language(request.language, "language")
        check_encoding(request.encoding, request.sample_rate_hertz)

    async def _append(
        self, live: LiveMeeting, session: Session, participant_id: str, request: pb.PutChunkRequest, pcm: bytes
    ) -> pb.PutChunkResponse:
        known = session.chunks.find(participant_id, request.sequence, request.idempotency_key)
        if known is not None:  # the same chunk came twice at once
            return await self._known(session, known)
        await session.room()
        expected = session.chunks.next_sequence(participant_id)
        if session.ended or request.sequence > expected:
            # An owner that was cut off and does not know it yet knows too little to refuse anything.
            await asyncio.to_thread(live.fence.check)
            if session.ended:
                raise MeetingFinished(request.meeting_id)
            raise SequenceGap(expected, request.sequence - 1)
        samples = len(pcm) // BYTES_PER_SAMPLE
        placed = _placed(session, request)
        if not session.start_time_ms:
            session.begin(_now_ms() - milliseconds_of((placed or 0) + samples))
        track = self._track(live, session, participant_id, request, samples, placed)
        if placed is not None and placed - track.next_sample > _ROUNDING_SAMPLES:
            session.put_gap(
                pb.AudioGap(
                    track=track.number,
                    start_sample=track.next_sample,
                    end_sample=placed,
                    reason=audio.GAP_REASON_NO_PACKETS,
                )
            )
        start = track.next_sample
        mark = ChunkMark(track.number, participant_id, expected, request.idempotency_key, start, start + samples)
        # Nothing waits between the mark and the last sample: a chunk is in the journal whole, or a restart cuts it.
        session.mark_chunk(mark)
        for offset in range(0, len(pcm), MAX_AUDIO_BYTES):
            session.put_audio(
                pb.AudioFrame(
                    track=track.number,
                    start_sample=track.next_sample,
                    pcm=pcm[offset : offset + MAX_AUDIO_BYTES],
                    kind=audio.AUDIO_KIND_OK,
                )
            )
        await session.settled()
        return _response(mark, duplicate=False)

    async def _known(self, session: Session, mark: ChunkMark | None) -> pb.PutChunkResponse:
        await session.confirmed()
        return pb.PutChunkResponse() if mark is None else _response(mark, duplicate=True)

    async def _again(self, key: MeetingKey, participant_id: str, request: pb.PutChunkRequest) -> pb.PutChunkResponse:
        """Acknowledge a chunk of a meeting that is over to a client that never heard that it is on disk.

        Raises:
            MeetingFinished: it is not.
        """
        stored = await self._store.last_chunks(key, CHUNK_SESSION)
        if stored and not request.content:
            return pb.PutChunkResponse()
        last = stored.get(participant_id)
        if last is None:
            raise MeetingFinished(key.meeting_id)
        sequence = int(last["sequence"])
        same_key = bool(request.idempotency_key) and request.idempotency_key == last["idempotency_key"]
        if same_key or request.sequence == sequence:
            return pb.PutChunkResponse(
                sequence=sequence,
                duplicate=True,
                start_ms=milliseconds_of(int(last["start_sample"])),
                end_ms=milliseconds_of(int(last["end_sample"])),
            )
        if 0 < request.sequence < sequence:
            return pb.PutChunkResponse(sequence=request.sequence, duplicate=True)
        raise MeetingFinished(key.meeting_id)

    def _track(
        self,
        live: LiveMeeting,
        session: Session,
        participant_id: str,
        request: pb.PutChunkRequest,
        samples: int,
        placed: int | None,
    ) -> Track:
        for track in session.tracks.values():
            if track.participant_id == participant_id:
                return _renamed(session, track, request)
        named = bool(request.participant_id)
        return session.introduce(
            pb.TrackStart(
                track=len(session.tracks) + 1,
                participant_id=participant_id,
                display_name=request.display_name or ("" if named else _SPEAKER_NAME),
                basis=request.basis or (audio.SPEAKER_BASIS_OWN_TRACK if named else audio.SPEAKER_BASIS_GUESS),
                language=request.language,
                start_sample=_start(live, session, samples) if placed is None else placed,
            )
        )


def _renamed(session: Session, track: Track, request: pb.PutChunkRequest) -> Track:
    """Take a name that the client learnt later; a guess renames nobody."""
    if request.basis not in _KNOWN_BASES or request.display_name in ("", track.display_name):
        return track
    return session.introduce(
        pb.TrackStart(
            track=track.number,
            participant_id=track.participant_id,
            display_name=request.display_name,
            basis=request.basis,
            language=track.language,
            start_sample=track.start_sample,
        )
    )


def _placed(session: Session, request: pb.PutChunkRequest) -> int | None:
    """Return the sample at which the client wants its chunk; None if it does not say.

    Raises:
        InvalidArgument: it is so far ahead that the client's clock must be broken.
    """
    if not request.HasField("start_ms"):
        return None
    placed: int = request.start_ms * _SAMPLES_PER_MS
    if placed - session.received_sample > _MAX_AHEAD_SAMPLES:
        raise InvalidArgument("is more than a day ahead of the audio", field="start_ms")
    return placed


def _start(live: LiveMeeting, session: Session, samples: int) -> int:
    """Return where a participant's first chunk begins: in a recording at its beginning, in a live meeting now."""
    if not session.tracks or live.row is None or live.row.mode == "upload":
        return 0
    elapsed_ms = _now_ms() - session.start_time_ms
    return max(0, elapsed_ms * SAMPLE_RATE_HERTZ // 1000 - samples)


def _now_ms() -> int:
    return round(now().timestamp() * 1000)


def _response(mark: ChunkMark, *, duplicate: bool) -> pb.PutChunkResponse:
    return pb.PutChunkResponse(
        sequence=mark.sequence,
        duplicate=duplicate,
        start_ms=milliseconds_of(mark.start_sample),
        end_ms=milliseconds_of(mark.end_sample),
    )
