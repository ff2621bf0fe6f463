"""Audio files that strangers send: read frame by frame, and nothing in them is taken at its word.

FFmpeg also knows formats that name other files and addresses to open; an upload is never one of those. It looks into
pictures that come with the sound, a kilobyte of which may swell to a gigabyte; it gets no decoder for them. And at one
sample a second a few bytes become hours of sound before anybody can count them.
"""

from collections.abc import Iterator
from typing import BinaryIO

import av

RATES_HERTZ = (4_000, 192_000)
"""Lowest and highest sample rate that is believed."""

_OPTIONS = {
    "codec_whitelist": (
        "aac,aac_latm,ac3,adpcm_ima_wav,adpcm_ms,alac,amrnb,amrwb,eac3,flac,gsm,gsm_ms,mp2,mp2float,mp3,mp3float,opus,"
        "pcm_alaw,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,pcm_mulaw,pcm_s8,pcm_s16be,pcm_s16le,pcm_s24be,pcm_s24le,"
        "pcm_s32be,pcm_s32le,pcm_u8,vorbis"
    ),
    "format_whitelist": "wav,w64,flac,ogg,mp3,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac",
    "protocol_whitelist": "none",
}


class NoSound(ValueError):
    """The file holds no sound that can be used; the message says why."""


def frames(source: BinaryIO) -> Iterator[av.AudioFrame]:
    """Yield the frames of the first audio stream, at the file's own rate, to be put one after another.

    Args:
        source: WAV, FLAC, Ogg, MP3, M4A, AAC, WebM or Matroska; need not be seekable.

    Raises:
        NoSound: there is no audio stream, or its rate is absurd.
        av.FFmpegError: it is none of these, or broken.
    """
    low, high = RATES_HERTZ
    with av.open(source, "r", options=_OPTIONS) as container:
        if not container.streams.audio:
            raise NoSound("no audio stream")
        for frame in container.decode(container.streams.audio[0]):
            if not low <= frame.sample_rate <= high:
                raise NoSound(f"{frame.sample_rate} samples a second")
            frame.pts = None  # a hole in the file's own clock is not ours to fill
            yield frame
