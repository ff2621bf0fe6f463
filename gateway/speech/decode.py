"""`python -m gateway.speech.decode`: an audio file on standard input, its samples (s16le, mono, 16 kHz) on the output.

A process of its own, with bounds on memory and processor time: what strangers upload is read by a large library in C,
and a crash or a bomb in it must end this program and not the gateway. Says in one line on standard error why a file
cannot be read.
"""

import resource
import sys
from typing import Any, BinaryIO

import av

from kit.audio_file import frames

SAMPLE_RATE_HERTZ = 16_000
UNREADABLE = 3
"""Exit status for a file that holds no sound."""

_MEMORY_BYTES = 2 * 1024**3
_PROCESSOR_SECONDS = 600


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
    for frame in frames(source):
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
