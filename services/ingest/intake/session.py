"""A session: what one client sends over any number of connections, in order, without holes, each message once."""

import re
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError, Message

from agent.common.v1 import audio_pb2 as audio
from agent.ingest.v1 import audio_service_pb2 as pb
from kit.clock import monotonic
from kit.errors import InvalidArgument
from services.ingest.errors import (
    EpochFenced,
    MeetingFinished,
    MessageTooLarge,
    SampleGap,
    SequenceGap,
    StreamProtocolBroken,
    TrackUnknown,
)
from services.ingest.intake.chunk_ledger import ChunkLedger, ChunkMark
from services.ingest.intake.track import AUDIO_KINDS, GAP_KINDS, MAX_NAME_CHARACTERS, SpanKind, Track
from services.ingest.journal.fence import Fence
from services.ingest.journal.journal import Journal
from services.ingest.journal.record import MAX_PAYLOAD_BYTES, Record, RecordKind
from services.ingest.live.capture import CaptureWatch
from services.ingest.pulse import Pulse
from services.ingest.timeline import BYTES_PER_SAMPLE, LAST_SAMPLE, MAX_AUDIO_BYTES, SAMPLE_RATE_HERTZ

_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LANGUAGE = re.compile(r"([A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*)?")
_MAX_ID_CHARACTERS = 128
_MAX_AHEAD_SAMPLES = 24 * 3600 * SAMPLE_RATE_HERTZ
"""A message reaches at most a day beyond its track: what comes after that is a broken clock."""
_LEVEL_SECONDS = 1.0
_UNEXPLAINED = frozenset({audio.GAP_REASON_UNSPECIFIED, audio.GAP_REASON_NO_PACKETS})
"""Reasons of a gap that say nothing but that there was no sound."""

_KINDS = {
    "track": RecordKind.TRACK,
    "audio": RecordKind.AUDIO,
    "gap": RecordKind.GAP,
    "track_end": RecordKind.TRACK_END,
    "end": RecordKind.END,
}
_MESSAGES: dict[RecordKind, Callable[[], Message]] = {
    RecordKind.OPEN: pb.SessionOpen,
    RecordKind.TRACK: pb.TrackStart,
    RecordKind.AUDIO: pb.AudioFrame,
    RecordKind.GAP: pb.AudioGap,
    RecordKind.TRACK_END: pb.TrackEnd,
    RecordKind.END: pb.SessionEnd,
}


@dataclass(frozen=True, slots=True)
class MeetingKey:
    """Whose meeting."""

    tenant_id: str
    meeting_id: str


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What one session may ask for."""

    tracks: int = 64
    window: int = 1024
    """Messages that may be unacknowledged."""
    pending_bytes: int = 4 * 1024 * 1024
    """Memory for what is not on disk yet."""


class Session:
    """One session and its journal; `open` makes or restores it. Everything but `open` stays on the event loop."""

    def __init__(self, key: MeetingKey, session_id: str, limits: SessionLimits) -> None:
        self.key = key
        self.session_id = session_id
        self.limits = limits
        self.pulse = Pulse()
        """Beats when more is durable and when anything else changes."""
        self.tracks: dict[int, Track] = {}
        self.chunks = ChunkLedger()
        self.next_sequence = 1
        self.epoch = 0
        self.start_time_ms = 0
        self.end_sample: int | None = None
        self.abandoned = False
        """Whether the session was ended for a client that did not."""
        self.on_track: Callable[[Session, Track], None] = lambda session, track: None
        """Told of each track that begins, changes its name or ends."""
        self.last_audio_at = monotonic()
        self._connection: object | None = None
        self._level = 0
        self._peaks: dict[int, int] = {}
        self._captures: dict[int, CaptureWatch] = {}
        self._journal: Journal | None = None

    @classmethod
    def open(
        cls,
        key: MeetingKey,
        session_id: str,
        fence: Fence,
        limits: SessionLimits,
        executor: Executor | None = None,
        *,
        limit: int | None = None,
    ) -> "Session":
        """Make a session, or restore what its journal holds; blocks on the disk.

        Args:
            key: whose meeting.
            session_id: which of its sessions.
            fence: under which it is the caller's.
            limits: what it may ask for.
            executor: threads for the journal; asyncio's own if None.
            limit: offset at which the journal ends at the latest.

        Raises:
            OSError: the disk refuses.
        """
        session = cls(key, session_id, limits)
        journal = Journal.open(session_id, fence, session._replay, session.pulse, executor, limit=limit)
        torn = session._torn_chunk()
        if torn is not None:
            journal.close()
            return cls.open(key, session_id, fence, limits, executor, limit=torn.offset)
        journal.recovered(session.next_sequence - 1)
        session._journal = journal
        return session

    @property
    def journal(self) -> Journal:
        """The journal."""
        assert self._journal is not None
        return self._journal

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.end_sample is not None

    @property
    def connected(self) -> bool:
        """Whether a client is there."""
        return self._connection is not None

    @property
    def unacknowledged(self) -> int:
        """Messages received and not yet on disk."""
        return self.next_sequence - 1 - self.journal.durable_sequence

    @property
    def level(self) -> int:
        """Loudness of the latest audio, 0 silent to 255 full scale."""
        return self._level if monotonic() - self.last_audio_at < _LEVEL_SECONDS else 0

    def take_peaks(self) -> dict[int, int]:
        """Return how loud each track was since this was asked last, 0 to 255 full scale; none where nothing came."""
        peaks, self._peaks = self._peaks, {}
        return peaks

    @property
    def received_sample(self) -> int:
        """Sample after the last of any track."""
        return max((track.next_sample for track in self.tracks.values()), default=0)

    def attach(self, opening: pb.SessionOpen, connection: object) -> None:
        """Let a client's new connection take over; an older one finds out by `holds`.

        Raises:
            EpochFenced: a newer connection was there before.
        """
        if opening.epoch < self.epoch or (opening.epoch == self.epoch and self._connection is not None):
            raise EpochFenced(opening.epoch, self.epoch)
        self.epoch = opening.epoch
        self.start_time_ms = self.start_time_ms or opening.start_time_ms
        self._connection = connection
        if not self.ended:
            self._write(RecordKind.OPEN, opening, sequence=self.next_sequence - 1)
        self.pulse.beat()

    def holds(self, connection: object) -> bool:
        """Return whether a connection is still the session's."""
        return self._connection is connection

    def detach(self, connection: object) -> None:
        """Note that a connection is gone; the session waits for its client to come back."""
        if self._connection is connection:
            self._connection = None
            self.pulse.beat()

    @property
    def has_room(self) -> bool:
        """Whether one more message may be taken; while not, the client is simply not read."""
        return self.unacknowledged < self.limits.window and self.journal.pending_bytes < self.limits.pending_bytes

    def capture(self, track: Track) -> CaptureWatch:
        """Return what watches the sound of a track, since it or this process began."""
        return self._captures.setdefault(track.number, CaptureWatch(track.next_sample))

    async def room(self) -> None:
        """Wait until one more message may be taken.

        Raises:
            JournalFailed: the disk refuses.
        """
        while not self.has_room:
            coming = self.pulse.coming
            if self.journal.failure is not None:
                raise self.journal.failure
            await coming.wait()

    async def settled(self) -> None:
        """Wait until everything taken is on disk.

        Raises:
            JournalFailed: it will not be.
        """
        await self.journal.durable(self.journal.end_offset)

    async def confirmed(self) -> None:
        """Wait until everything taken is on disk to stay, for a client that is told so and sends nothing more.

        What an earlier owner wrote and did not acknowledge counts for us. For the next owner it would not if yet
        another one, cut off long ago, had gone on from before it; a record of our own behind it settles that.

        Raises:
            JournalFailed, Fenced: it will not be.
        """
        if not self.journal.is_own:
            opening = pb.SessionOpen(meeting_id=self.key.meeting_id, session_id=self.session_id, epoch=self.epoch)
            self._write(RecordKind.OPEN, opening, sequence=self.next_sequence - 1)
        await self.settled()

    def accept(self, request: pb.StreamAudioRequest) -> bool:
        """Take the next message; False for one that was taken before.

        Raises:
            AppError: the message breaks the contract; nothing of it was taken.
        """
        name = request.WhichOneof("message")
        kind = _KINDS.get(name or "")
        if kind is None:
            raise StreamProtocolBroken("track, audio, gap, track_end or end", name or "nothing")
        if request.sequence == 0:
            raise InvalidArgument("messages are numbered from 1", field="sequence")
        if request.sequence < self.next_sequence:
            return False
        if self.ended:
            raise MeetingFinished(self.key.meeting_id)
        if request.sequence > self.next_sequence:
            raise SequenceGap(self.next_sequence, request.sequence - 1)
        message = getattr(request, str(name))
        if message.ByteSize() > MAX_PAYLOAD_BYTES:
            raise MessageTooLarge(f"a message has at most {MAX_PAYLOAD_BYTES} bytes", MAX_PAYLOAD_BYTES)
        self._check(kind, message)
        self._write(kind, message, sequence=request.sequence)
        self.next_sequence = request.sequence + 1
        return True

    def finish(self) -> None:
        """End the session for a client that will not; what it sent stays as it is."""
        if not self.ended:
            self.abandoned = True
            if self.chunks.last is not None:
                self._end_tracks()
            self._write(RecordKind.END, pb.SessionEnd(end_sample=self.received_sample), sequence=self.next_sequence - 1)

    def _end_tracks(self) -> None:
        """A recording that is shorter than another ends where it ends: nothing of it was lost."""
        for track in self.tracks.values():
            if track.end_sample is None:
                ending = pb.TrackEnd(track=track.number, end_sample=track.next_sample)
                self._write(RecordKind.TRACK_END, ending, sequence=self.next_sequence - 1)

    def begin(self, start_time_ms: int) -> None:
        """Say on behalf of a client that sends chunks when its first sample was."""
        opening = pb.SessionOpen(
            meeting_id=self.key.meeting_id, session_id=self.session_id, start_time_ms=start_time_ms
        )
        self._write(RecordKind.OPEN, opening, sequence=self.next_sequence - 1)

    def introduce(self, message: pb.TrackStart) -> Track:
        """Begin a track on behalf of a client that sends chunks."""
        self._check(RecordKind.TRACK, message)
        self._write(RecordKind.TRACK, message, sequence=self.next_sequence)
        self.next_sequence += 1
        return self.tracks[message.track]

    def mark_chunk(self, mark: ChunkMark) -> None:
        """Say that the samples of a chunk follow; without all of them the mark will not count after a restart."""
        self.journal.append(Record(self.next_sequence - 1, RecordKind.CHUNK, mark.track, mark.encode()))
        self.chunks.add(mark)

    def put_gap(self, message: pb.AudioGap) -> None:
        """Take a span without samples on behalf of a client that sends chunks."""
        self._check(RecordKind.GAP, message)
        self._write(RecordKind.GAP, message, sequence=self.next_sequence)
        self.next_sequence += 1

    def put_audio(self, message: pb.AudioFrame) -> None:
        """Take samples on behalf of a client that sends chunks."""
        self._check(RecordKind.AUDIO, message)
        self._write(RecordKind.AUDIO, message, sequence=self.next_sequence)
        self.next_sequence += 1

    def _torn_chunk(self) -> ChunkMark | None:
        """Return the last chunk if its samples are not all there; its client was never told that they are."""
        mark = self.chunks.last
        return mark if mark is not None and self.tracks[mark.track].next_sample < mark.end_sample else None

    def _write(self, kind: RecordKind, message: Message, *, sequence: int) -> None:
        track = getattr(message, "track", 0)
        record = Record(sequence, kind, track, message.SerializeToString())
        self._apply(kind, message, self.journal.append(record))
        if isinstance(message, pb.AudioFrame):
            self._hear(message)
        elif isinstance(message, pb.AudioGap):
            self.capture(self.tracks[track]).gap(
                message.start_sample, message.end_sample, owed=message.reason in _UNEXPLAINED
            )

    def _replay(self, record: Record, offset: int) -> bool:
        """Take a record of the journal; False where it does not go on."""
        if record.kind is RecordKind.CHUNK:
            self.chunks.add(ChunkMark.decode(record, offset))
            return True
        message = _MESSAGES[record.kind]()
        try:
            message.ParseFromString(record.payload)
        except DecodeError:
            return False
        self._apply(record.kind, message, offset)
        self.abandoned |= record.kind is RecordKind.END and record.sequence < self.next_sequence
        self.next_sequence = record.sequence + 1
        return True

    def _apply(self, kind: RecordKind, message: Message, offset: int) -> None:
        match message:
            case pb.AudioFrame():
                self.tracks[message.track].extend(
                    message.start_sample + len(message.pcm) // BYTES_PER_SAMPLE,
                    AUDIO_KINDS.get(message.kind, SpanKind.HEARD),
                    offset,
                )
            case pb.AudioGap():
                kind_of_gap = GAP_KINDS.get(message.reason, SpanKind.LOST)
                self.tracks[message.track].extend(message.end_sample, kind_of_gap, offset)
            case pb.TrackStart():
                known = self.tracks.get(message.track)
                if known is None:
                    known = self.tracks[message.track] = Track.started(message, offset)
                else:
                    known.renamed(message)
                self.on_track(self, known)
            case pb.TrackEnd():
                self.tracks[message.track].end_sample = message.end_sample
                self.on_track(self, self.tracks[message.track])
                self.pulse.beat()
            case pb.SessionEnd():
                self.end_sample = max(message.end_sample, self.received_sample)
                self.pulse.beat()
            case pb.SessionOpen():
                self.epoch = max(self.epoch, message.epoch)
                self.start_time_ms = self.start_time_ms or message.start_time_ms

    def _hear(self, message: pb.AudioFrame) -> None:
        self.last_audio_at = monotonic()
        samples = np.frombuffer(message.pcm, "<i2")
        self._level = int(np.abs(samples[::8].astype(np.int32)).max()) * 255 // 32_768
        self._peaks[message.track] = max(self._level, self._peaks.get(message.track, 0))
        kind = AUDIO_KINDS.get(message.kind, SpanKind.HEARD)
        self.capture(self.tracks[message.track]).audio(message.start_sample, samples, kind)

    def _check(self, kind: RecordKind, message: Message) -> None:
        match message:
            case pb.AudioFrame():
                self._check_audio(message)
            case pb.AudioGap():
                track = self._open_track(message.track, message.start_sample)
                if message.end_sample <= message.start_sample:
                    raise InvalidArgument("must be after its start", field="gap.end_sample")
                _check_end(track.next_sample, message.end_sample, "gap.end_sample")
            case pb.TrackStart():
                self._check_start(message)
            case pb.TrackEnd():
                track = self._open_track(message.track, None)
                if message.end_sample < track.next_sample:
                    raise SampleGap(message.track, track.next_sample, message.end_sample)
                _check_end(track.next_sample, message.end_sample, "track_end.end_sample")
            case pb.SessionEnd():
                _check_end(self.received_sample, message.end_sample, "end.end_sample")

    def _check_audio(self, message: pb.AudioFrame) -> None:
        size = len(message.pcm)
        if size > MAX_AUDIO_BYTES:
            raise MessageTooLarge(f"at most {MAX_AUDIO_BYTES} bytes of audio fit one message", MAX_AUDIO_BYTES)
        if size == 0 or size % BYTES_PER_SAMPLE:
            raise InvalidArgument("must hold whole samples, one at least", field="audio.pcm")
        track = self._open_track(message.track, message.start_sample)
        _check_end(track.next_sample, message.start_sample, "audio.start_sample")

    def _open_track(self, number: int, start_sample: int | None) -> Track:
        track = self.tracks.get(number)
        if track is None or track.end_sample is not None:
            raise TrackUnknown(number)
        if start_sample is not None and start_sample != track.next_sample:
            raise SampleGap(number, track.next_sample, start_sample)
        return track

    def _check_start(self, message: pb.TrackStart) -> None:
        if message.track == 0:
            raise InvalidArgument("tracks are numbered from 1", field="track.track")
        if not 0 < len(message.participant_id) <= _MAX_ID_CHARACTERS:
            raise InvalidArgument(f"must have 1 to {_MAX_ID_CHARACTERS} characters", field="track.participant_id")
        if len(message.display_name) > MAX_NAME_CHARACTERS:
            raise InvalidArgument(f"must have at most {MAX_NAME_CHARACTERS} characters", field="track.display_name")
        if not _LANGUAGE.fullmatch(message.language):
            raise InvalidArgument("is not a language code", field="track.language")
        known = self.tracks.get(message.track)
        if known is not None:
            if known.end_sample is not None:
                raise TrackUnknown(message.track)
            if known.participant_id != message.participant_id:
                raise StreamProtocolBroken(f"participant {known.participant_id}", message.participant_id)
            return
        if len(self.tracks) >= self.limits.tracks:
            raise InvalidArgument(f"a session has at most {self.limits.tracks} tracks", field="track.track")
        if message.start_sample < 0:
            raise InvalidArgument("must not be negative", field="track.start_sample")
        _check_end(self.received_sample, message.start_sample, "track.start_sample")


def check_session_id(session_id: str) -> None:
    """Refuse what cannot be a file's name.

    Raises:
        InvalidArgument: it is not 1 to 64 letters, digits, dots, dashes and underscores, starting with one of the
            first two.
    """
    if not _SESSION_ID.fullmatch(session_id):
        raise InvalidArgument(
            "must be 1 to 64 letters, digits, '.', '-' or '_', not starting with a sign", field="open.session_id"
        )


def check_language(language: str, field: str) -> None:
    """Refuse what is not a language code.

    Raises:
        InvalidArgument: it is not empty and not a code.
    """
    if not _LANGUAGE.fullmatch(language):
        raise InvalidArgument("is not a language code", field=field)


def _check_end(position: int, end: int, field: str) -> None:
    if end - position > _MAX_AHEAD_SAMPLES or end > LAST_SAMPLE:
        raise InvalidArgument("is more than a day ahead of the audio, or beyond the timeline", field=field)


async def keep_journal(session: Session, interval_seconds: float) -> None:
    """Bring what the session takes to disk, until cancelled; then close the journal."""
    try:
        await session.journal.commit_forever(interval_seconds)
    finally:
        session.journal.close()
