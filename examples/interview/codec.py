"""Sound formats: FLAC on disk, Opus as a call would carry it, 16 kHz and 48 kHz."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.audio import AudioStream
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
"""Mono samples, shape (samples,)."""

_OPUS_RATE_HERTZ = 48_000
_OPUS_FRAME_SAMPLES = 960
"""20 ms, what WebRTC sends."""


def resample(pcm: Pcm, from_hertz: int, to_hertz: int) -> Pcm:
    """Change the sample rate; the result keeps the time of every sample (within one sample)."""
    if from_hertz == to_hertz:
        return pcm
    resampler = av.AudioResampler(format="s16", layout="mono", rate=to_hertz)
    frames = [*resampler.resample(_frame(pcm, from_hertz)), *resampler.resample(None)]
    return np.concatenate([np.zeros(0, np.int16), *(frame.to_ndarray()[0] for frame in frames)])


def write_flac(path: Path, pcm: Pcm, sample_rate_hertz: int) -> None:
    """Write one track losslessly; the same samples give the same bytes."""
    with av.open(str(path), "w", format="flac", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("flac", rate=sample_rate_hertz, options={"compression_level": "12"})
        encoder = stream.codec_context
        encoder.layout = "mono"
        encoder.format = "s16"
        # Keeps the library's version out of the file.
        encoder.flags |= av.codec.context.Flags.bitexact
        for packet in [*encoder.encode(_frame(pcm, sample_rate_hertz)), *encoder.encode(None)]:
            packet.stream = stream
            container.mux(packet)


def read_flac(path: Path) -> tuple[Pcm, int]:
    """Return a mono file's samples and its sample rate in hertz."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        pieces = [frame.to_ndarray().reshape(-1) for frame in container.decode(stream)]
        rate = int(stream.codec_context.sample_rate)
    return np.concatenate([np.zeros(0, np.int16), *pieces]).astype(np.int16, copy=False), rate


def through_opus(pcm: Pcm, sample_rate_hertz: int, *, application: str = "voip", bit_rate: int = 32_000) -> Pcm:
    """Send a track through Opus as a browser would: 48 kHz, 20 ms, voice, discontinuous in silence.

    Returns:
        The decoded track at the same rate, late by the codec's look-ahead (6.5 ms) and up to 20 ms longer.
    """
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate = _OPUS_RATE_HERTZ
    encoder.layout = "mono"
    encoder.format = "s16"
    encoder.bit_rate = bit_rate
    encoder.options = {"application": application, "frame_duration": "20", "dtx": "1"}
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate = _OPUS_RATE_HERTZ
    decoder.layout = "mono"
    decoder.format = "s16"
    decoded = [
        frame.to_ndarray().reshape(-1)
        for packet in _opus_packets(encoder, resample(pcm, sample_rate_hertz, _OPUS_RATE_HERTZ))
        for frame in decoder.decode(packet)
    ]
    return resample(np.concatenate(decoded), _OPUS_RATE_HERTZ, sample_rate_hertz)


def _opus_packets(encoder: AudioCodecContext, pcm: Pcm) -> Iterator[av.Packet[AudioStream]]:
    for start in range(0, len(pcm), _OPUS_FRAME_SAMPLES):
        frame = _frame(np.resize(pcm[start : start + _OPUS_FRAME_SAMPLES], _OPUS_FRAME_SAMPLES), _OPUS_RATE_HERTZ)
        frame.pts = start
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


def _frame(pcm: Pcm, sample_rate_hertz: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm).reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = sample_rate_hertz
    frame.pts = 0
    return frame
