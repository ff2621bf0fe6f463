"""Speech, encoded once: Opus packets of 20 ms, and nothing where the speaker is silent."""

import wave
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

FRAME_SECONDS = 0.02
_BIT_RATE = 32_000
_RATES = (16_000, 48_000)
_QUIET_PEAK = 32  # of 32768: what a microphone in a quiet room stays above


@dataclass(frozen=True, slots=True)
class Speech:
    """Packets in order, one per 20 ms; None where DTX sends nothing. `silence` is a packet of silence."""

    packets: tuple[bytes | None, ...]
    silence: bytes

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.packets) * FRAME_SECONDS


def speech_from_wav(path: Path) -> Speech:
    """Encode a 16-bit WAV file at 16 or 48 kHz; several channels are mixed into one.

    Raises:
        ValueError: the file has another format.
    """
    with wave.open(str(path), "rb") as file:
        if file.getsampwidth() != 2:
            raise ValueError(f"{path.name}: 16-bit samples are needed")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
        return speech_from_samples(samples.mean(axis=1).astype(np.int16), file.getframerate())


def speech_from_samples(samples: NDArray[np.int16], sample_rate_hertz: int = 16_000) -> Speech:
    """Encode mono samples.

    Args:
        samples: int16, shape (samples,).
        sample_rate_hertz: 16000 or 48000.

    Raises:
        ValueError: another rate.
    """
    if sample_rate_hertz not in _RATES:
        raise ValueError(f"{sample_rate_hertz} Hz: 16000 or 48000 is needed")
    size = round(sample_rate_hertz * FRAME_SECONDS)
    frames = np.pad(samples, (0, -len(samples) % size)).reshape(-1, size)
    encoded = _encode(frames, sample_rate_hertz)
    quiet = np.abs(frames.astype(np.int32)).max(axis=1, initial=0) < _QUIET_PEAK
    # The encoder is 6.5 ms behind: the packet after the last loud frame still carries some of it.
    suppressed = quiet & np.concatenate(([True], quiet[:-1]))
    packets = tuple(None if off else packet for packet, off in zip(encoded, suppressed, strict=True))
    return Speech(packets, _encode(np.zeros((1, size), np.int16), sample_rate_hertz)[0])


def _encode(frames: NDArray[np.int16], sample_rate_hertz: int) -> list[bytes]:
    """Encode frames, with a copy of each in the next packet; libopus' own speech mode would cut off deep voices."""
    encoder = av.AudioCodecContext.create("libopus", "w")
    encoder.sample_rate = sample_rate_hertz
    encoder.layout = "mono"
    encoder.format = "s16"
    encoder.bit_rate = _BIT_RATE
    encoder.time_base = Fraction(1, sample_rate_hertz)
    encoder.options = {"application": "audio", "fec": "1", "packet_loss": "10", "frame_duration": "20"}
    packets: list[bytes] = []
    for number, samples in enumerate(frames):
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = sample_rate_hertz
        frame.pts = number * len(samples)
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    packets += [bytes(packet) for packet in encoder.encode(None)]
    return packets[: len(frames)]
