"""`python -m gateway.speech.decode`: an audio file on standard input, its samples (s16le, mono, 16 kHz) on the output.

A process of its own, with bounds on memory and processor time: what strangers upload is read by a large library in C,
and a crash or a bomb in it must end this program and not the gateway. Says in one line on standard error why a file
cannot be read.
"""

import resource
import sys
from typing import Any, BinaryIO

import av

SAMPLE_RATE_HERTZ = 16_000
UNREADABLE = 3
"""Exit status for a file that holds no sound."""

_MEMORY_BYTES = 2 * 1024**3
_PROCESSOR_SECONDS = 600
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


def main() -> int:
    """Decode the file; returns the exit status."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR_SECONDS, _PROCESSOR_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        decode(sys.stdin.buffer, sys.stdout.buffer)
    except (av.FFmpegError, ValueError, MemoryError) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        sys.stderr.write(f"{said}\n")
        return UNREADABLE
    except BrokenPipeError:  # nobody wants the rest
        return 0
    return 0


def decode(source: BinaryIO, target: BinaryIO) -> None:
    """Write the samples of the first audio stream.

    Raises:
        av.FFmpegError: it is not a file that we know, or broken.
        ValueError: there is no sound in it.
    """
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HERTZ)
    written = 0
    with av.open(source, "r", options=_OPTIONS) as container:
        if not container.streams.audio:
            raise ValueError("no audio stream")
        for frame in container.decode(container.streams.audio[0]):
            if not _RATES_HERTZ[0] <= frame.sample_rate <= _RATES_HERTZ[1]:
                # At one sample a second, a few bytes become hours of sound before anybody can count them.
                raise ValueError(f"{frame.sample_rate} samples a second")
            frame.pts = None  # a hole in the file's own clock is not ours to fill
            written += _write(resampler.resample(frame), target)
        written += _write(resampler.resample(None), target)
    if not written:
        raise ValueError("no samples")
    target.flush()


def _write(pieces: list[Any], target: BinaryIO) -> int:
    written = 0
    for piece in pieces:
        samples = bytes(piece.planes[0])[: 2 * piece.samples]
        target.write(samples)
        written += len(samples)
    return written


if __name__ == "__main__":
    sys.exit(main())
