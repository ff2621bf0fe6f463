"""libopus: straight to 16 kHz mono, with concealment and recovery."""

import numpy as np
import pytest

from examples.callers import speech_from_samples
from services.connector.receive.opus import OpusDecoder, OpusUndecodable, load


def tone(seconds: float, rate: int = 16_000) -> np.ndarray:
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


def correlation(said: np.ndarray, heard: np.ndarray) -> float:
    return float(np.corrcoef(said.astype(float), heard.astype(float))[0, 1])


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_packet_becomes_16_khz_mono_whatever_rate_was_sent(rate: int) -> None:
    packets = speech_from_samples(tone(1.0, rate), rate).packets
    decoder = OpusDecoder()
    heard = np.frombuffer(b"".join(decoder.decode(packet) for packet in packets if packet), "<i2")
    assert len(heard) == 16_000
    assert max(correlation(tone(1.0)[:8000], heard[lag : lag + 8000]) for lag in range(60, 140)) > 0.95


def test_a_lost_frame_is_in_the_packet_after_it() -> None:
    packets = [packet for packet in speech_from_samples(tone(1.0)).packets if packet]
    whole, holed = OpusDecoder(), OpusDecoder()
    frames = [np.frombuffer(whole.decode(packet), "<i2") for packet in packets]
    for packet in packets[:20]:
        holed.decode(packet)
    recovered = np.frombuffer(holed.recover(packets[21], 320), "<i2")
    assert holed.carries_recovery(packets[21])
    assert len(recovered) == 320
    assert correlation(frames[20], recovered) > 0.8


def test_concealment_gives_as_many_samples_as_asked() -> None:
    decoder = OpusDecoder()
    for packet in speech_from_samples(tone(0.2)).packets:
        decoder.decode(packet or b"")
    assert len(decoder.conceal(320)) == 640


def test_rubbish_is_refused() -> None:
    with pytest.raises(OpusUndecodable):
        OpusDecoder().decode(b"\xff\xff\xff\xff")


def test_the_wheel_of_pyav_brings_a_libopus_that_knows_about_copies() -> None:
    assert load().has_recovery is not None
