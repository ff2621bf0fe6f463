"""Segments put together: each moment once, whatever a run left behind."""

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scripts.quick_record.assembly import joined, joined_take, seam
from scripts.quick_record.folder import Folder, Note
from scripts.quick_record.segments import HEADER_BYTES, SegmentWriter

Pcm = NDArray[np.int16]

SEGMENT, OVERLAP = 1_000, 300


def sound(samples: int, seed: int = 1) -> Pcm:
    return np.random.default_rng(seed).integers(-8_000, 8_000, samples).astype(np.int16)


def folder_in(path: Path, takes: tuple[float, ...] = (0.0,)) -> Folder:
    return Folder.make(path, Note("h", "t", "", SEGMENT / 16_000, OVERLAP / 16_000, takes=takes))


def record(folder: Folder, pcm: Pcm, take: int = 1, piece: int = 170) -> None:
    with SegmentWriter(folder, take, SEGMENT, OVERLAP) as writer:
        for start in range(0, len(pcm), piece):
            writer.write(pcm[start : start + piece].tobytes())


def together(folder: Folder) -> Pcm:
    return np.concatenate([*joined(folder), np.zeros(0, np.int16)])


@settings(max_examples=25, deadline=None)
@given(samples=st.integers(1, 6_000), piece=st.integers(1, 2_500))
def test_what_was_written_comes_back_to_the_sample(tmp_path_factory, samples: int, piece: int):
    folder = folder_in(tmp_path_factory.mktemp("recording"))
    pcm = sound(samples)
    record(folder, pcm, piece=piece)
    assert len(folder.segments()) == -(-samples // SEGMENT)
    np.testing.assert_array_equal(together(folder), pcm)


def test_a_segment_that_was_being_written_is_used_as_far_as_it_came(tmp_path: Path):
    folder, pcm = folder_in(tmp_path), sound(4_500)
    record(folder, pcm)
    last = folder.segments()[-1].path
    torn = last.with_name(f"{last.name}.part")
    torn.write_bytes(last.read_bytes()[: HEADER_BYTES + 2 * (OVERLAP + 123) + 1])
    last.unlink()
    np.testing.assert_array_equal(together(folder), pcm[:4_123])


def test_a_lost_segment_is_silence_but_for_what_its_neighbours_have_of_it(tmp_path: Path):
    folder, pcm = folder_in(tmp_path), sound(4_000)
    record(folder, pcm)
    folder.segments()[1].path.unlink()
    found = together(folder)
    assert len(found) == len(pcm)
    np.testing.assert_array_equal(found[:1_000], pcm[:1_000])
    assert not found[1_000 : 2_000 - OVERLAP].any()
    np.testing.assert_array_equal(found[2_000 - OVERLAP :], pcm[2_000 - OVERLAP :])


def test_the_time_between_two_takes_is_silence(tmp_path: Path):
    folder = folder_in(tmp_path, takes=(100.0, 100.5))
    record(folder, sound(1_600), take=1)
    record(folder, sound(800, seed=2), take=2)
    found = together(folder)
    assert len(found) == 8_000 + 800
    assert not found[1_600:8_000].any()
    np.testing.assert_array_equal(found[8_000:], sound(800, seed=2))


def test_a_seam_that_is_off_by_some_samples_is_found_and_cannot_be_heard():
    time = np.arange(4_000) / 16_000
    pcm = (8_000 * np.sin(2 * np.pi * (200 + 900 * time) * time)).astype(np.int16)
    before, after = pcm[:2_000], pcm[2_000 - OVERLAP + 17 :]  # the first 17 samples were lost
    one, other = seam(before, after, OVERLAP)
    found = np.concatenate([one, other]).astype(np.float64)
    np.testing.assert_allclose(found, pcm[: len(found)], atol=2)
    assert len(found) == len(pcm)


def test_overlap_may_be_none(tmp_path: Path):
    folder, pcm = folder_in(tmp_path), sound(2_500)
    with SegmentWriter(folder, 1, SEGMENT, 0) as writer:
        writer.write(pcm.tobytes())
    np.testing.assert_array_equal(np.concatenate([*joined_take(folder.segments(), SEGMENT, 0)]), pcm)
