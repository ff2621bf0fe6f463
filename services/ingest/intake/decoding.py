"""Decoding of uploaded chunks: whatever a recorder writes, to 16 kHz mono."""

import io
from collections.abc import Iterator
from itertools import chain

import av
import numpy as np
from numpy.typing import NDArray

from kit.audio_file import RATES_HERTZ, NoSound, frames
from kit.errors import InvalidArgument
from services.ingest.errors import AudioUndecodable, MessageTooLarge
from services.ingest.timeline import SAMPLE_RATE_HERTZ, samples_of

_RAW = "s16le"

Pcm = NDArray[np.int16]


def check_encoding(encoding: str, sample_rate_hertz: int) -> None:
    """Refuse what `decode` could not take.

    Raises:
        InvalidArgument: the encoding or the rate is not one we know.
    """
    if encoding not in ("", _RAW):
        raise InvalidArgument("must be 's16le' or empty", field="encoding")
    low, high = RATES_HERTZ
    if sample_rate_hertz and not low <= sample_rate_hertz <= high:
        raise InvalidArgument(f"must be between {low} and {high}", field="sample_rate_hertz")


def decode(content: bytes, encoding: str, sample_rate_hertz: int, max_seconds: float) -> bytes:
    """Return a chunk's samples as s16le mono at 16 kHz; blocks the thread.

    Args:
        content: WAV, FLAC, Ogg, MP3, M4A or WebM; raw samples if `encoding` is "s16le".
        encoding: "s16le" or empty.
        sample_rate_hertz: of raw samples; 16000 if zero.
        max_seconds: longest chunk.

    Raises:
        AudioUndecodable: it is none of these, or broken.
        MessageTooLarge: it is longer than allowed.
    """
    heard = _raw(content, sample_rate_hertz) if encoding == _RAW else frames(io.BytesIO(content))
    limit = samples_of(max_seconds)
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HERTZ)
    pieces: list[Pcm] = []
    total = 0
    try:
        for frame in chain(heard, (None,)):  # None: what the resampler still holds
            for piece in resampler.resample(frame):
                samples = piece.to_ndarray().reshape(-1).astype("<i2", copy=False)
                total += len(samples)
                if total > limit:
                    raise MessageTooLarge(f"a chunk is at most {max_seconds:g} s long", round(max_seconds))
                pieces.append(samples)
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise AudioUndecodable(_said(error)) from error
    if not total:
        raise AudioUndecodable("no samples")
    return b"".join(piece.tobytes() for piece in pieces)


def _raw(content: bytes, sample_rate_hertz: int) -> Iterator[av.AudioFrame]:
    if len(content) % 2:
        raise AudioUndecodable("half a sample")
    samples = np.frombuffer(content, "<i2").astype(np.int16, copy=False)
    if len(samples):
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = sample_rate_hertz or SAMPLE_RATE_HERTZ
        yield frame


def _said(error: Exception) -> str:
    if isinstance(error, NoSound):
        return str(error)
    return getattr(error, "strerror", None) or type(error).__name__
