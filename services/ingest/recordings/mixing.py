"""Mixing: the sealed tracks of voices as one run of samples, sample n where it was on the meeting's timeline."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import av
import numpy as np
from numpy.typing import NDArray

from services.ingest.timeline import SAMPLE_RATE_HERTZ

BLOCK_SAMPLES = 2 * SAMPLE_RATE_HERTZ

Pcm = NDArray[np.int16]


class File(Protocol):
    """An open file; its methods block."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class SealedTrack:
    """A track in the blob store: FLAC, 16 kHz mono, whose first sample is `start_sample` of the meeting."""

    key: str
    start_sample: int


def mix(tracks: Sequence[SealedTrack], open_file: Callable[[str], File]) -> Iterator[Pcm]:
    """Yield the sum of tracks from sample 0 of the meeting to the end of the last of them; blocks.

    A track is opened when its time comes and closed at its end, and a few seconds of each are in memory. What is
    louder than 16 bits can say is cut off at the loudest value.

    Args:
        tracks: in any order; they may overlap.
        open_file: opens a track by its key.

    Raises:
        OSError: a track cannot be read.
        av.FFmpegError: a track is not what was sealed.
    """
    coming = sorted(tracks, key=lambda track: track.start_sample, reverse=True)
    playing: list[_Voice] = []
    position = 0
    try:
        while coming or playing:
            end = position + BLOCK_SAMPLES
            while coming and coming[-1].start_sample < end:
                track = coming.pop()
                playing.append(_Voice(open_file(track.key), track.start_sample))
            total = np.zeros(BLOCK_SAMPLES, np.int32)
            length = 0
            for voice in playing:
                length = max(length, voice.add_to(total, position))
            for voice in [voice for voice in playing if voice.over]:
                voice.close()
                playing.remove(voice)
            if playing or coming:
                length = BLOCK_SAMPLES
            if length:
                yield np.clip(total[:length], -32_768, 32_767).astype(np.int16)
            position = end
    finally:
        for voice in playing:
            voice.close()


class _Voice:
    """A track that is being read."""

    def __init__(self, file: File, start_sample: int) -> None:
        self.over = False
        """Whether everything was taken."""
        self._file = file
        self._position = start_sample
        self._rest: Pcm = np.zeros(0, np.int16)
        try:
            self._container = av.open(_Pipe(file), "r", format="flac")
        except BaseException:
            file.close()
            raise
        self._frames = self._container.decode(audio=0)

    def add_to(self, total: NDArray[np.int32], position: int) -> int:
        """Add what falls into the block at `position`; returns the length of the block that it fills."""
        end = position + len(total)
        filled = 0
        while self._position < end:
            if not len(self._rest):
                frame = next(self._frames, None)
                if frame is None:
                    self.over = True
                    break
                self._rest = frame.to_ndarray().reshape(-1).astype(np.int16, copy=False)
            taken = self._rest[: end - self._position]
            begin = self._position - position
            total[begin : begin + len(taken)] += taken
            filled = begin + len(taken)
            self._rest = self._rest[len(taken) :]
            self._position += len(taken)
        return filled

    def close(self) -> None:
        """Give the file back."""
        self._container.close()
        self._file.close()


class _Pipe:
    """A file that cannot seek: it is read once, from its beginning."""

    def __init__(self, file: File) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        return self._file.read(size)
