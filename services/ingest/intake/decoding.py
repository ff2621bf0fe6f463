"""Decoding of uploaded chunks: whatever a recorder writes, to 16 kHz mono."""

import io
from collections.abc import Iterator

import av
import numpy as np
from numpy.typing import NDArray

from kit.errors import InvalidArgument
from services.ingest.errors import AudioUndecodable, MessageTooLarge
from services.ingest.timeline import SAMPLE_RATE_HERTZ, samples_of

_RAW = "s16le"
_RATES_HERTZ = (4_000, 192_000)
# FFmpeg also knows formats that name other files and addresses to open. An upload is never one of those. And it looks
# into pictures that come with the sound, a kilobyte of which may swell to a gigabyte: it gets no decoder for them.
_DECODERS = (
    "aac,aac_latm,ac3,adpcm_ima_wav,adpcm_ms,alac,amrnb,amrwb,eac3,flac,gsm,gsm_ms,mp2,mp2float,mp3,mp3float,opus,"
    "pcm_alaw,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,pcm_mulaw,pcm_s8,pcm_s16be,pcm_s16le,pcm_s24be,pcm_s24le,"
    "pcm_s32be,pcm_s32le,pcm_u8,vorbis"
)
_OPTIONS = {
    "codec_whitelist": _DECODERS,
    "format_whitelist": "wav,w64,flac,ogg,mp3,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac",
    "protocol_whitelist": "none",
}

Pcm = NDArray[np.int16]


def check_encoding(encoding: str, sample_rate_hertz: int) -> None:
    """Refuse what `decode` could not take.

    Raises:
        InvalidArgument: the encoding or the rate is not one we know.
    """
    if encoding not in ("", _RAW):
        raise InvalidArgument("must be 's16le' or empty", field="encoding")
    low, high = _RATES_HERTZ
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
    frames = _raw(content, sample_rate_hertz) if encoding == _RAW else _container(content)
    limit = samples_of(max_seconds)
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HERTZ)
    pieces: list[Pcm] = []
    total = 0
    try:
        for frame in frames:
            if frame is not None:
                _check_rate(frame.sample_rate)
                frame.pts = None  # a hole in the file's own clock is not ours to fill
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


def _raw(content: bytes, sample_rate_hertz: int) -> Iterator["av.AudioFrame | None"]:
    if len(content) % 2:
        raise AudioUndecodable("half a sample")
    samples = np.frombuffer(content, "<i2").astype(np.int16, copy=False)
    if len(samples):
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = sample_rate_hertz or SAMPLE_RATE_HERTZ
        yield frame
        yield None


def _container(content: bytes) -> Iterator["av.AudioFrame | None"]:
    with av.open(io.BytesIO(content), "r", options=_OPTIONS) as container:
        if not container.streams.audio:
            raise AudioUndecodable("no audio stream")
        yield from container.decode(container.streams.audio[0])
        yield None  # what the resampler still holds


def _check_rate(hertz: int) -> None:
    # At one sample a second, a few bytes become hours of sound before anybody can count them.
    low, high = _RATES_HERTZ
    if not low <= hertz <= high:
        raise AudioUndecodable(f"{hertz} samples a second")


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
