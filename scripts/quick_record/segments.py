"""Segments while they are written: WAV files that overlap, synced to the disk as they grow and when they are whole."""

import os
import struct
from types import TracebackType
from typing import BinaryIO, Self

from scripts.quick_record.folder import Folder, sync_directory
from scripts.quick_record.source import SAMPLE_BYTES, SAMPLE_RATE_HERTZ

HEADER_BYTES = 44
_SYNC_SAMPLES = SAMPLE_RATE_HERTZ


class SegmentWriter:
    """Writes one take; segment n begins `overlap` before the end of segment n - 1.

    Args:
        folder: where to.
        take: number of the take, from 1.
        segment_samples: what each segment adds.
        overlap_samples: what each has in common with the one before.
    """

    def __init__(self, folder: Folder, take: int, segment_samples: int, overlap_samples: int) -> None:
        self.complete = 0
        """Segments that are whole, and on the disk."""
        self.samples = 0
        """Samples of the take so far."""
        self._folder = folder
        self._take = take
        self._segment_samples = segment_samples
        self._overlap_bytes = overlap_samples * SAMPLE_BYTES
        self._tail = b""
        self._file: BinaryIO | None = None
        self._file_samples = 0
        self._new_samples = 0
        self._unsynced = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def write(self, pcm: bytes) -> None:
        """Append samples.

        Raises:
            OSError: the disk refuses.
        """
        while pcm:
            if self._file is None:
                self._open()
            room = (self._segment_samples - self._new_samples) * SAMPLE_BYTES
            piece, pcm = pcm[:room], pcm[room:]
            self._append(piece)
            self._new_samples += len(piece) // SAMPLE_BYTES
            self.samples += len(piece) // SAMPLE_BYTES
            self._tail = (self._tail + piece)[-self._overlap_bytes :] if self._overlap_bytes else b""
            if self._new_samples >= self._segment_samples:
                self._close()

    def _open(self) -> None:
        path = self._folder.segment_path(self._take, self.complete + 1)
        self._file = path.with_name(f"{path.name}.part").open("wb", buffering=0)
        self._file_samples = self._new_samples = self._unsynced = 0
        # The length that it is going to have: a reader takes what is there.
        self._file.write(wav_header(self._segment_samples + len(self._tail) // SAMPLE_BYTES))
        self._append(self._tail)

    def _append(self, piece: bytes) -> None:
        assert self._file is not None
        self._file.write(piece)
        samples = len(piece) // SAMPLE_BYTES
        self._file_samples += samples
        self._unsynced += samples
        if self._unsynced >= _SYNC_SAMPLES:
            os.fdatasync(self._file.fileno())
            self._unsynced = 0

    def _close(self) -> None:
        """Complete the segment that is being written, if any."""
        file, self._file = self._file, None
        if file is None:
            return
        with file:
            file.seek(0)
            file.write(wav_header(self._file_samples))
            os.fsync(file.fileno())
        path = self._folder.segment_path(self._take, self.complete + 1)
        path.with_name(f"{path.name}.part").replace(path)
        sync_directory(self._folder.path)
        self.complete += 1


def wav_header(samples: int) -> bytes:
    """Return the head of a WAV file of this many samples."""
    size = samples * SAMPLE_BYTES
    sound = struct.pack("<HHIIHH", 1, 1, SAMPLE_RATE_HERTZ, SAMPLE_RATE_HERTZ * SAMPLE_BYTES, SAMPLE_BYTES, 16)
    return (
        b"RIFF"
        + struct.pack("<I", size + HEADER_BYTES - 8)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + sound
        + (b"data" + struct.pack("<I", size))
    )
