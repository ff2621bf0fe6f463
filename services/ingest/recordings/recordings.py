"""Recordings: what was sealed of a meeting as one file, one voice or all of them, made while it is sent."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from kit.errors import InvalidArgument
from services.ingest.errors import AudioNotFound, AudioNotReady
from services.ingest.intake.session import MeetingKey
from services.ingest.recordings.encoding import FORMATS, AudioFormat, encode
from services.ingest.recordings.mixing import File, SealedTrack, mix
from services.ingest.recordings.repository import Recorded

_DEFAULT_FORMAT = "opus"
_SEALING_SECONDS = 2.0
_PIECE_BYTES = 256 * 1024


class BlobInfo(Protocol):
    """A blob without its bytes."""

    @property
    def key(self) -> str: ...


class Blobs(Protocol):
    """Where sealed tracks are."""

    def list(self, prefix: str = "") -> AsyncIterator[BlobInfo]: ...

    def stream(self, key: str) -> AsyncIterator[bytes]: ...

    def open_reader(self, key: str) -> File: ...


class Tracks(Protocol):
    """What is known of tracks."""

    async def recorded(self, key: MeetingKey) -> Recorded: ...


@dataclass(frozen=True, slots=True)
class Recording:
    """A file to be made."""

    format: AudioFormat
    tracks: tuple[SealedTrack, ...]

    @property
    def is_master(self) -> bool:
        """Whether a sealed track is this very file."""
        return self.format.name == "flac" and len(self.tracks) == 1 and self.tracks[0].start_sample == 0


class Recordings:
    """Finds recordings and makes files of them; `executor` is where encoding blocks, piece by piece."""

    def __init__(self, tracks: Tracks, blobs: Blobs, executor: Executor) -> None:
        self._tracks = tracks
        self._blobs = blobs
        self._executor = executor

    async def find(self, key: MeetingKey, participant_id: str, format_name: str) -> Recording:
        """Return the recording of a finished meeting.

        Args:
            key: of the meeting.
            participant_id: whose voice; empty for all voices in one.
            format_name: "opus", "flac" or "mp3"; opus if empty.

        Raises:
            InvalidArgument: there is no such format.
            MeetingNotFound: there is no such meeting for this tenant.
            MeetingErased: only a tombstone is left.
            AudioNotReady: the meeting goes on.
            AudioNotFound: nobody was heard, it is not sealed yet, or it was erased.
        """
        audio_format = FORMATS.get(format_name or _DEFAULT_FORMAT)
        if audio_format is None:
            raise InvalidArgument(f"must be one of {', '.join(FORMATS)}", field="format")
        recorded = await self._tracks.recorded(key)
        if recorded.state not in ("finished", "failed"):
            raise AudioNotReady(key.meeting_id, recorded.state)
        wanted = [track for track in recorded.tracks if participant_id in ("", track.participant_id)]
        if any(track.prefix is None for track in wanted):
            if recorded.audio_erase_time is not None:
                raise AudioNotFound(key.meeting_id, "the recording was erased for its age")
            raise AudioNotFound(
                key.meeting_id, "the recording is still being put away", retry_after_seconds=_SEALING_SECONDS
            )
        prefixes = {track.prefix for track in wanted if track.prefix is not None}
        there = {blob.key for prefix in prefixes async for blob in self._blobs.list(prefix)}
        # A track on which nothing ever came has no file.
        files = [SealedTrack(f"{track.prefix}/{track.number}.flac", track.start_sample) for track in wanted]
        tracks = tuple(file for file in files if file.key in there)
        if not tracks:
            raise AudioNotFound(key.meeting_id, "nobody was heard")
        return Recording(audio_format, tracks)

    async def pieces(self, recording: Recording) -> AsyncGenerator[bytes, None]:
        """Yield the file, 256 KiB at a time at most; whoever stops reading stops the work.

        Raises:
            BlobNotFound: a sealed track was erased in the meantime.
            OSError: the blob store fails.
        """
        if recording.is_master:
            async for piece in self._blobs.stream(recording.tracks[0].key):
                for start in range(0, len(piece), _PIECE_BYTES):
                    yield piece[start : start + _PIECE_BYTES]
            return
        making = encode(mix(recording.tracks, self._blobs.open_reader), recording.format)
        async for piece in _in_threads(making, self._executor):
            yield piece


async def _in_threads(making: Generator[bytes, None, None], executor: Executor) -> AsyncIterator[bytes]:
    """Yield what a generator yields that blocks; no thread is held between two pieces."""
    loop = asyncio.get_running_loop()
    step: asyncio.Future[bytes | None] | None = None

    def close(_: object = None) -> None:
        if step is not None and not step.cancelled():
            step.exception()  # nobody is left to be told
        making.close()

    try:
        while True:
            step = loop.run_in_executor(executor, next, making, None)
            piece = await asyncio.shield(step)
            if piece is None:
                return
            yield piece
    finally:
        # A thread cannot be called back: what it is at is short, and then there is no more of it.
        if step is None or step.done():
            close()
        else:
            step.add_done_callback(close)
