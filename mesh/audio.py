"""Audio files as the mesh takes them: 16 kHz signed 16-bit samples, decoded piece by piece, mixed or by channel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.error import FFmpegError

SAMPLE_RATE_HERTZ = 16_000
FRAME_SAMPLES = 16_000  # one second: 32,000 bytes, just under the contract's 32 KiB

Stereo = Literal["auto", "speakers", "mix"]
"""What two channels are: found out, one speaker each, or one sound."""

_STEP_SAMPLES = 320
_HEARD_LEVEL = 100.0  # of 32,768; quieter than that is a line without a voice
_APART = 4.0  # 12 dB: what one side of a call hears of the other at most
_LEAST_STEPS = 50
_LEAST_SHARE_APART = 0.6
_LEAST_SHARE_EACH = 0.05


class UnreadableAudio(Exception):
    """The file holds no audio that can be decoded; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a file holds."""

    seconds: float
    speakers: int
    """2 when its two channels are two people of a call, else 1."""


def examine(path: Path, stereo: Stereo = "auto") -> Recording:
    """Find out a file's length, and whether its two channels are two speakers; that may take a pass over the file.

    Call recordings often keep one side per channel: whenever somebody speaks, the other channel is quiet. In any other
    stereo recording both channels hear everything.

    Raises:
        UnreadableAudio: the file has no audio stream or it is broken before its first sample.
    """
    with _opened(path) as container:
        stated = container.duration / av.time_base if container.duration else None
        channels = 1 if stereo == "mix" else min(int(container.streams.audio[0].codec_context.channels), 2)
    if stated is not None and (channels == 1 or stereo == "speakers"):
        return Recording(stated, channels)
    samples = steps = 0
    louder = np.zeros(2, np.int64)
    for piece in _pieces(path, channels):
        sound = np.frombuffer(piece, "<i2").reshape(-1, channels)
        samples += len(sound)
        if channels == 1:
            continue
        whole = len(sound) // _STEP_SAMPLES * _STEP_SAMPLES
        blocks = sound[:whole].astype(np.float64).reshape(-1, _STEP_SAMPLES, 2)
        levels = np.sqrt((blocks**2).mean(axis=1))
        levels = levels[levels.max(axis=1) >= _HEARD_LEVEL]
        steps += len(levels)
        louder += (levels > _APART * levels[:, ::-1]).sum(axis=0)
    apart = (
        steps >= _LEAST_STEPS
        and louder.sum() >= _LEAST_SHARE_APART * steps
        and louder.min() >= _LEAST_SHARE_EACH * steps
    )
    two = channels == 2 and (stereo == "speakers" or bool(apart))
    return Recording(samples / SAMPLE_RATE_HERTZ, 2 if two else 1)


def decoded(path: Path) -> Iterator[bytes]:
    """Yield the file's first audio stream in frames of one second (the last may be shorter), s16le mono 16 kHz.

    Raises:
        UnreadableAudio: the file has no audio stream or it is broken before its first sample.
    """
    return _pieces(path, 1)


def decoded_by_speaker(path: Path, speakers: int) -> Iterator[tuple[bytes, ...]]:
    """Yield seconds as `decoded` does, a frame per speaker: the channels of a call, or one mixed down.

    Raises:
        UnreadableAudio: as above.
    """
    for piece in _pieces(path, speakers):
        sound = np.frombuffer(piece, "<i2").reshape(-1, speakers)
        yield tuple(np.ascontiguousarray(sound[:, channel]).tobytes() for channel in range(speakers))


def _pieces(path: Path, channels: int) -> Iterator[bytes]:
    """Yield seconds of interleaved samples."""
    resampler = AudioResampler(format="s16", layout="stereo" if channels == 2 else "mono", rate=SAMPLE_RATE_HERTZ)
    pending = bytearray()
    sample_bytes = 2 * channels
    size = sample_bytes * FRAME_SAMPLES
    try:
        with _opened(path) as container:
            for frame in container.decode(audio=0):
                for piece in resampler.resample(frame):
                    pending += bytes(piece.planes[0])[: sample_bytes * piece.samples]
                while len(pending) >= size:
                    yield bytes(pending[:size])
                    del pending[:size]
            for piece in resampler.resample(None):
                pending += bytes(piece.planes[0])[: sample_bytes * piece.samples]
    except FFmpegError as error:
        raise _unreadable(path, error) from error
    while pending:
        yield bytes(pending[:size])
        del pending[:size]


def _opened(path: Path) -> av.container.InputContainer:
    try:
        container = av.open(str(path))
    except FFmpegError as error:
        raise _unreadable(path, error) from error
    if not container.streams.audio:
        container.close()
        raise UnreadableAudio(f"{path.name}: no audio stream in it")
    return container


def _unreadable(path: Path, error: FFmpegError) -> UnreadableAudio:
    return UnreadableAudio(f"{path.name}: no audio in it that can be read ({error.strerror})")
