"""Audio files as the mesh takes them: 16 kHz mono signed 16-bit samples, decoded piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
from av.audio.resampler import AudioResampler
from av.error import FFmpegError

SAMPLE_RATE_HERTZ = 16_000
FRAME_SAMPLES = 16_000  # one second: 32,000 bytes, just under the contract's 32 KiB


class UnreadableAudio(Exception):
    """The file holds no audio that can be decoded; the message is one sentence."""


def file_seconds(path: Path) -> float | None:
    """Length that the file's header states, in seconds; None if it states none.

    Raises:
        UnreadableAudio: the file is no audio file.
    """
    try:
        with av.open(str(path)) as container:
            return container.duration / av.time_base if container.duration else None
    except FFmpegError as error:
        raise UnreadableAudio(f"{path.name}: no audio in it that can be read ({error.strerror})") from error


def decoded(path: Path) -> Iterator[bytes]:
    """Yield the file's first audio stream in frames of one second (the last may be shorter), s16le mono 16 kHz.

    Raises:
        UnreadableAudio: the file has no audio stream or it is broken before its first sample.
    """
    resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HERTZ)
    pending = bytearray()
    size = 2 * FRAME_SAMPLES
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise UnreadableAudio(f"{path.name}: no audio stream in it")
            for frame in container.decode(audio=0):
                for piece in resampler.resample(frame):
                    pending += bytes(piece.planes[0])[: 2 * piece.samples]
                while len(pending) >= size:
                    yield bytes(pending[:size])
                    del pending[:size]
            for piece in resampler.resample(None):
                pending += bytes(piece.planes[0])[: 2 * piece.samples]
    except FFmpegError as error:
        raise UnreadableAudio(f"{path.name}: no audio in it that can be read ({error.strerror})") from error
    while pending:
        yield bytes(pending[:size])
        del pending[:size]
