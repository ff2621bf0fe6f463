"""Mixing and encoding: sample n of the file is sample n of the meeting, and the first bytes come at once."""

import io
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from services.ingest.recordings.encoding import FORMATS, encode
from services.ingest.recordings.mixing import BLOCK_SAMPLES, SealedTrack, mix

Pcm = NDArray[np.int16]


def noise(samples: int, seed: int, loudness: int = 20_000) -> Pcm:
    return np.random.default_rng(seed).integers(-loudness, loudness, samples).astype(np.int16)


def flac(pcm: Pcm) -> bytes:
    blocks = (pcm[start : start + 64_000] for start in range(0, len(pcm), 64_000))
    return b"".join(encode(iter(blocks), FORMATS["flac"]))


def decoded(data: bytes) -> Pcm:
    with av.open(io.BytesIO(data), "r") as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
        frames: list[Any] = [*container.decode(audio=0), None]
        return np.concatenate([each.to_ndarray().reshape(-1) for one in frames for each in resampler.resample(one)])


class Files:
    """Files that remember whether they are open."""

    def __init__(self, **tracks: Pcm) -> None:
        self._files = {name: flac(pcm) for name, pcm in tracks.items()}
        self.opened: list[str] = []
        self.open: list[io.BytesIO] = []

    def __call__(self, key: str) -> io.BytesIO:
        self.opened.append(key)
        self.open.append(io.BytesIO(self._files[key]))
        return self.open[-1]

    @property
    def all_closed(self) -> bool:
        return all(file.closed for file in self.open)


def test_voices_are_summed_where_they_were_and_cut_off_where_too_loud() -> None:
    anna, boris, late = noise(100_003, 1), noise(50_000, 2), noise(10, 3)
    files = Files(anna=anna, boris=boris, late=late)
    tracks = [SealedTrack("late", 300_000), SealedTrack("anna", 8_000), SealedTrack("boris", 60_001)]
    mixed = np.concatenate(list(mix(tracks, files)))
    wanted = np.zeros(300_010, np.int32)
    wanted[8_000:108_003] += anna
    wanted[60_001:110_001] += boris
    wanted[300_000:] += late
    assert np.abs(wanted).max() > 32_768, "some of it is too loud"
    assert np.array_equal(mixed, np.clip(wanted, -32_768, 32_767))
    assert files.all_closed


@pytest.mark.parametrize("length", [1, BLOCK_SAMPLES - 1, BLOCK_SAMPLES, BLOCK_SAMPLES + 1, 3 * BLOCK_SAMPLES])
def test_the_file_is_as_long_as_what_was_heard(length: int) -> None:
    pcm = noise(length, 4)
    assert np.array_equal(np.concatenate(list(mix([SealedTrack("a", 0)], Files(a=pcm)))), pcm)


def test_a_track_is_opened_when_its_time_comes() -> None:
    files = Files(early=noise(BLOCK_SAMPLES * 3, 5), late=noise(100, 6))
    mixing = mix([SealedTrack("early", 0), SealedTrack("late", BLOCK_SAMPLES * 2)], files)
    next(mixing)
    assert files.opened == ["early"]
    mixing.close()  # type: ignore[attr-defined]
    assert files.all_closed


def test_opus_keeps_the_time_and_is_small() -> None:
    voice = np.convolve(noise(60 * 16_000, 7), np.ones(24) / 12, "same").astype(np.int16)
    pieces = list(encode(mix([SealedTrack("a", 16_000)], Files(a=voice)), FORMATS["opus"]))
    data = b"".join(pieces)
    assert max(map(len, pieces)) <= 256 * 1024
    assert len(data) < 61 * 24_000 / 8 * 1.3
    heard = decoded(data)
    assert abs(len(heard) - 61 * 16_000) <= 320
    assert np.abs(heard[:15_000].astype(int)).max() < 300, "a second of silence before the track"
    window = heard[20_000:600_000].astype(float)
    best = max(range(-200, 201, 10), key=lambda lag: float(window @ voice[4_000 + lag : 584_000 + lag].astype(float)))
    assert abs(best) <= 20


def test_the_first_bytes_come_before_the_rest_is_read() -> None:
    read = 0

    def blocks() -> Iterator[Pcm]:
        nonlocal read
        for number in range(200):
            read += 1
            yield noise(32_000, number, 3_000)

    making = encode(blocks(), FORMATS["opus"])
    assert next(making).startswith(b"OggS")
    assert read <= 2
    next(making)
    assert read < 20, "a piece is short"
    making.close()
