"""Assembly: the segments of a recording as one MP3, each moment once, without a seam that can be heard."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from scripts.quick_record.folder import MP3, Folder, SegmentFile
from scripts.quick_record.segments import HEADER_BYTES
from scripts.quick_record.source import SAMPLE_RATE_HERTZ

Pcm = NDArray[np.int16]

BIT_RATE = "64k"
LONGEST_PAUSE_SECONDS = 3600.0
_FADE_SAMPLES = SAMPLE_RATE_HERTZ // 50
_LEAST_LIKENESS = 0.5


class NothingRecorded(Exception):
    """No segment holds a sample."""


def assemble(folder: Folder) -> float:
    """Write the MP3 of a folder's segments; returns its seconds. What was there before is replaced when it is whole.

    Raises:
        NothingRecorded: there is nothing to assemble.
        OSError: the disk refuses.
    """
    draft = folder.path / f"{MP3}.part"
    samples = write_mp3(draft, joined(folder))
    if not samples:
        draft.unlink(missing_ok=True)
        raise NothingRecorded(f"{folder.path}: no segment holds any sound")
    draft.replace(folder.path / MP3)
    folder.keep(assembled=True)
    return samples / SAMPLE_RATE_HERTZ


def joined(folder: Folder) -> Iterator[Pcm]:
    """Yield the samples of a recording in order: takes after one another, silence for the time between them."""
    note, rate = folder.note, SAMPLE_RATE_HERTZ
    segment, overlap = round(note.segment * rate), round(note.overlap * rate)
    ended: float | None = None
    for take in sorted({one.take for one in folder.segments()}):
        files = [one for one in folder.segments() if one.take == take]
        began = note.takes[take - 1] if take <= len(note.takes) else None
        if ended is not None and began is not None:
            pause = min(max(0.0, began - ended), LONGEST_PAUSE_SECONDS)
            yield from _silence(round(pause * rate))
        length = 0
        for block in joined_take(files, segment, overlap):
            length += len(block)
            yield block
        ended = None if began is None else began + length / rate


def joined_take(files: Iterable[SegmentFile], segment: int, overlap: int) -> Iterator[Pcm]:
    """Yield the samples of one take; where segments overlap each moment comes once, what is lost is silence.

    Args:
        files: in order; some may be missing.
        segment: samples that each adds.
        overlap: samples that each has in common with the one before.
    """
    position = 0
    held: Pcm = np.zeros(0, np.int16)  # the end of what came before, for the next seam
    for file in files:
        samples = read_samples(file.path)
        start = (file.number - 1) * segment - (overlap if file.number > 1 else 0)
        if start > position:
            yield held
            yield from _silence(start - position)
            held = np.zeros(0, np.int16)
            position = start
        common = min(position - start, len(samples))
        if common and len(held):
            before, samples = seam(held, samples, common)
            yield before
        else:
            samples = samples[common:]
        position = max(position, start + common) + len(samples)
        keep = min(overlap, len(samples))
        yield samples[: len(samples) - keep]
        held = samples[len(samples) - keep :]
    yield held


def seam(before: Pcm, after: Pcm, common: int) -> tuple[Pcm, Pcm]:
    """Return `before` and what `after` adds to it, where its first `common` samples are thought to be in both.

    Mostly they are, to the sample. A file that lost some shows it here: then the place is found by how alike the two
    are, and they are faded into each other.
    """
    common = min(common, len(before))
    tail, head = before[len(before) - common :], after[:common]
    if np.array_equal(tail, head):
        return before, after[common:]
    lag = _lag(tail, head)
    cut = min(max(0, common - lag), len(after))
    fade = min(_FADE_SAMPLES, cut, len(before))
    if not fade:
        return before, after[cut:]
    ramp = np.linspace(0.0, 1.0, fade)
    mixed = before[-fade:] * (1 - ramp) + after[cut - fade : cut] * ramp
    return np.concatenate([before[:-fade], mixed.round().astype(np.int16)]), after[cut:]


def read_samples(path: Path) -> Pcm:
    """Return what a segment holds, whatever its head promises."""
    size = max(0, path.stat().st_size - HEADER_BYTES) // 2
    return np.fromfile(path, "<i2", count=size, offset=HEADER_BYTES).astype(np.int16, copy=False)


def write_mp3(path: Path, blocks: Iterable[Pcm]) -> int:
    """Encode samples; returns how many there were."""
    total = 0
    with av.open(str(path), "w", format="mp3") as container:
        stream = container.add_stream(
            "libmp3lame", rate=SAMPLE_RATE_HERTZ, layout="mono", format="s16p", options={"b": BIT_RATE}
        )
        for block in blocks:
            if not len(block):
                continue
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block).reshape(1, -1), format="s16p", layout="mono")
            frame.sample_rate = SAMPLE_RATE_HERTZ
            frame.pts = total
            total += len(block)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return total


def _lag(tail: Pcm, head: Pcm) -> int:
    """Return by how many samples `head` is late against `tail`; 0 if they are not alike enough to tell."""
    one, other = tail.astype(np.float64), head.astype(np.float64)
    loudness = np.sqrt((one**2).sum() * (other**2).sum())
    if not loudness:
        return 0
    size = 2 * len(one)
    likeness = np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size)), size)
    best = int(likeness.argmax())
    if likeness[best] < _LEAST_LIKENESS * loudness:
        return 0
    return best if best < len(one) else best - size


def _silence(samples: int) -> Iterator[Pcm]:
    while samples > 0:
        length = min(samples, 10 * SAMPLE_RATE_HERTZ)
        yield np.zeros(length, np.int16)
        samples -= length
