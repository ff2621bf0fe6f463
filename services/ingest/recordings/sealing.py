"""Sealing: each track of a finished session as one FLAC file, sample by sample where it was on the timeline.

Gaps become digital silence, so that sample n of the file is sample `start + n` of the meeting.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from numpy.typing import NDArray

from agent.ingest.v1 import audio_service_pb2 as pb
from services.ingest import metrics
from services.ingest.intake.session import MeetingKey, Session
from services.ingest.journal.journal import Journal
from services.ingest.journal.record import RecordKind
from services.ingest.timeline import SAMPLE_RATE_HERTZ
from store import places

_BLOCK_SAMPLES = 4 * SAMPLE_RATE_HERTZ
_PIECE_BYTES = 1024 * 1024

Pcm = NDArray[np.int16]


class Blobs(Protocol):
    """Where sealed tracks are kept."""

    async def put(self, key: str, data: AsyncIterator[bytes]) -> object: ...

    async def delete_below(self, prefix: str) -> int: ...


def audio_prefix(key: MeetingKey) -> str:
    """Return where all sealed tracks of a meeting are in the blob store."""
    return places.audio_prefix(key.tenant_id, key.meeting_id)


def forget_scratch(scratch: Path, key: MeetingKey) -> None:
    """Delete what a process that was killed may have left of a meeting's tracks; blocks on the disk."""
    shutil.rmtree(scratch / key.tenant_id / key.meeting_id, ignore_errors=True)


def sealed_prefix(key: MeetingKey, session_id: str) -> str:
    """Return where the tracks of a session are in the blob store."""
    return f"{audio_prefix(key)}/{session_id}"


async def seal(session: Session, blobs: Blobs, scratch: Path) -> str:
    """Put every track of a session that has ended into the blob store; doing it twice is harmless.

    Args:
        session: with its journal still there, durable to its end.
        blobs: where to.
        scratch: directory with room for the longest track.

    Returns:
        The prefix of the tracks' keys: `<prefix>/<track>.flac`.

    Raises:
        OSError: the disk or the blob store refuses.
        JournalFailed: the journal no longer holds what it held.
    """
    prefix = sealed_prefix(session.key, session.session_id)
    scratch = scratch / session.key.tenant_id / session.key.meeting_id
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in session.tracks:
        with tempfile.TemporaryDirectory(prefix="seal-", dir=scratch) as directory:
            path = Path(directory) / "track.flac"
            if await asyncio.to_thread(write_flac, session.journal, number, path):
                await blobs.put(f"{prefix}/{number}.flac", _pieces(path))
                metrics.SEALED_TRACKS.inc()
    return prefix


def write_flac(journal: Journal, track: int, path: Path) -> int:
    """Encode one track of a journal; returns its samples, 0 when it has none and no file was written."""
    total = 0
    container = None
    try:
        for block in _blocks(_track_samples(journal, track)):
            if container is None:
                container = av.open(str(path), "w", format="flac")
                stream = container.add_stream("flac", rate=SAMPLE_RATE_HERTZ, layout="mono", format="s16")
            frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE_HERTZ
            frame.pts = total
            for packet in stream.encode(frame):
                container.mux(packet)
            total += len(block)
        if container is not None:
            for packet in stream.encode(None):
                container.mux(packet)
    finally:
        if container is not None:
            container.close()
    return total


def _track_samples(journal: Journal, track: int) -> Iterator[Pcm]:
    for record in journal.durable_records(track):
        if record.track == track:
            yield from _samples(record.kind, record.payload)


def _samples(kind: RecordKind, payload: bytes) -> Iterator[Pcm]:
    if kind is RecordKind.AUDIO:
        yield np.frombuffer(pb.AudioFrame.FromString(payload).pcm, "<i2").astype(np.int16, copy=False)
    elif kind is RecordKind.GAP:
        gap = pb.AudioGap.FromString(payload)
        rest = gap.end_sample - gap.start_sample
        while rest:
            length = min(rest, _BLOCK_SAMPLES)
            yield np.zeros(length, np.int16)
            rest -= length


def _blocks(samples: Iterator[Pcm]) -> Iterator[Pcm]:
    """Gather into blocks worth encoding."""
    gathered: list[Pcm] = []
    length = 0
    for piece in samples:
        gathered.append(piece)
        length += len(piece)
        if length >= _BLOCK_SAMPLES:
            yield np.concatenate(gathered)
            gathered, length = [], 0
    if length:
        yield np.concatenate(gathered)


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece
