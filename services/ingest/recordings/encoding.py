"""Encoding of recordings while they are sent: the first bytes at once, a few seconds of sound in memory."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import av

from services.ingest.recordings.mixing import Pcm
from services.ingest.timeline import SAMPLE_RATE_HERTZ

_PIECE_BYTES = 32 * 1024
_LARGEST_PIECE_BYTES = 256 * 1024
_PIECE_SAMPLES = 30 * SAMPLE_RATE_HERTZ
"""A piece is sent after so much sound however small it is, so that making one never takes long."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """One format of a recording."""

    name: str
    content_type: str
    container: str
    codec: str
    sample_format: str = "s16"
    options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)


FORMATS = {
    each.name: each
    for each in (
        AudioFormat("opus", "audio/ogg; codecs=opus", "ogg", "libopus", options={"b": "24k", "application": "voip"}),
        AudioFormat("flac", "audio/flac", "flac", "flac"),
        # A constant rate, because a file that is sent while it is made has no header that tells its length.
        AudioFormat("mp3", "audio/mpeg", "mp3", "libmp3lame", "s16p", {"b": "64k"}, {"write_xing": "0"}),
    )
}
"""By the name that callers use."""


def encode(blocks: Iterator[Pcm], audio_format: AudioFormat) -> Generator[bytes, None, None]:
    """Yield a file of 16 kHz mono samples in pieces of 256 KiB at most; blocks, works while it is read.

    Args:
        blocks: samples in order; closed at the end, and when the file is not read to its end.
        audio_format: of the file.
    """
    sink = _Sink()
    container = av.open(
        sink, "w", format=audio_format.container, options=audio_format.container_options, buffer_size=4096
    )
    try:
        stream: Any = container.add_stream(
            audio_format.codec,
            rate=SAMPLE_RATE_HERTZ,
            layout="mono",
            format=audio_format.sample_format,
            options=audio_format.options,
        )
        total = since = 0
        begun = False
        for block in blocks:
            frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE_HERTZ
            frame.pts = total
            total += len(block)
            since += len(block)
            container.mux(stream.encode(frame))
            if sink.size >= _PIECE_BYTES or since >= _PIECE_SAMPLES or (sink.size and not begun):
                begun, since = True, 0
                yield from sink.take()
        container.mux(stream.encode(None))
    finally:
        close = getattr(blocks, "close", None)
        if close is not None:
            close()
        container.close()
    yield from sink.take()


class _Sink:
    """A file that cannot seek: what is written is taken away."""

    def __init__(self) -> None:
        self.size = 0
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        self.size += len(data)
        return len(data)

    def take(self) -> Iterator[bytes]:
        """Yield what was written since the last time."""
        data = b"".join(self._written)
        self._written, self.size = [], 0
        for start in range(0, len(data), _LARGEST_PIECE_BYTES):
            yield data[start : start + _LARGEST_PIECE_BYTES]
