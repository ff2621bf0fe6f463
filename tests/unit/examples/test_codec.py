"""Tracks survive their formats: FLAC to the sample, Opus in time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from examples.interview.codec import read_flac, resample, through_opus, write_flac
from examples.interview.words import normalise


def tone(seconds: float, sample_rate_hertz: int = 16_000) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    time = np.arange(round(seconds * sample_rate_hertz)) / sample_rate_hertz
    return np.asarray(8000 * np.sin(2 * np.pi * 440 * time), np.int16)


def test_flac_keeps_every_sample_and_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.flac", "two.flac"):
        write_flac(tmp_path / name, tone(0.5), 16_000)
    pcm, sample_rate_hertz = read_flac(tmp_path / "one.flac")
    assert sample_rate_hertz == 16_000
    np.testing.assert_array_equal(pcm, tone(0.5))
    assert (tmp_path / "one.flac").read_bytes() == (tmp_path / "two.flac").read_bytes()


def test_resampling_keeps_the_duration() -> None:
    assert abs(len(resample(tone(1.0, 22_050), 22_050, 16_000)) - 16_000) <= 1


def test_opus_with_discontinuous_transmission_keeps_time() -> None:
    quiet = np.zeros(32_000, np.int16)
    heard = through_opus(np.concatenate([quiet, tone(1.0), quiet]), 16_000)
    loud = np.flatnonzero(np.abs(heard.astype(np.int32)) > 2000)
    assert 32_000 <= loud[0] <= 32_000 + 320
    assert abs(loud[-1] - loud[0] - 16_000) < 800
    assert 80_000 <= len(heard) <= 80_000 + 640


def test_texts_are_compared_by_words_alone() -> None:
    assert normalise("Да, мы ещё можем?  ") == normalise("да мы ЕЩЕ можем") == "да мы еще можем"
    assert normalise("I'll go -- now!") == "i'll go now"
