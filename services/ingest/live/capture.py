"""Capture: whether a track brings a living room or a dead device. Counts samples; knows no clock.

A room is never still: breathing, a fan, the noise of the converter. A dead capture is: digital zero, one value frozen,
or one short buffer again and again. Both are silence to a recogniser, and only one of them is worth a warning.

What was not sent (fill) tells nothing about a device, and neither does what was invented in place of lost packets. A
sender that suppresses silence (DTX) sends a frame now and then all the same: comfort noise if its room lives. A browser
with a dead microphone sends such frames too, and nothing is in them.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from services.ingest.intake.track import SpanKind
from services.ingest.timeline import BYTES_PER_SAMPLE, SAMPLE_RATE_HERTZ, samples_of

DEAD_SAMPLES = samples_of(20.0)
"""Time of nothing but dead audio that is worth a warning; a pause in a conversation, however long, is alive."""
MISSING_SAMPLES = samples_of(20.0)
"""Time without anything that is worth a warning."""
ALIVE_SAMPLES = samples_of(0.1)
"""Life without interruption that ends a warning; a click, or a frame that a decoder rings out with, does not."""

_BLOCK = samples_of(0.02)
_FLAT_RANGE = 2
_FLAT_CHANGES = _BLOCK // 40
"""Steps between neighbouring samples of a block that is flat.

A decoder of Opus gives a frozen input back as zeros with a +1 or -1 here and there: at most 4 steps in 20 ms, and never
more than 1 away from zero. The faintest of rooms, a dithered -90 dBFS, has 200.
"""
_EVIDENCE_SAMPLES = samples_of(0.5)
"""Dead audio that there must be in this time: DTX leaves a frame of 20 ms in 400."""
_HOLE_SAMPLES = samples_of(2.0)
"""Time without any audio that tells something, after which what was dead before counts no more."""
_BLOCK_BYTES = _BLOCK * BYTES_PER_SAMPLE
_LONGEST_LOOP_BYTES = SAMPLE_RATE_HERTZ * BYTES_PER_SAMPLE
_SEARCH_SAMPLES = samples_of(2.0)

Pcm = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class CaptureProblem:
    """What is wrong with a track's sound, and from which sample on."""

    kind: Literal["silent_capture", "no_audio"]
    since_sample: int


class CaptureWatch:
    """Watches one track from a sample on; told of everything on it, in order."""

    def __init__(self, start_sample: int = 0) -> None:
        self._silent = False
        self._since = 0
        self._dead = 0
        self._dead_end = start_sample
        self._alive = 0
        self._missing = 0
        self._missing_since = 0
        self._end = start_sample
        self._rest: Pcm = np.zeros(0, np.int16)
        self._loop = _Loop()

    def audio(self, start_sample: int, pcm: Pcm, kind: SpanKind) -> None:
        """Take samples that follow on.

        Args:
            start_sample: of the first, on the meeting's timeline.
            pcm: 16 bit, at 16 kHz, at least one.
            kind: heard, concealed or fill.
        """
        self._end = start_sample + len(pcm)
        self._missing = 0
        if kind is not SpanKind.HEARD:
            self._rest = self._rest[:0]
            return
        if self._loop.repeats(pcm):
            self._rest = pcm[:0]
            self._die(start_sample, len(pcm))
            return
        if len(self._rest):
            start_sample -= len(self._rest)
            pcm = np.concatenate([self._rest, pcm])
        whole = len(pcm) - len(pcm) % _BLOCK
        self._rest = pcm[whole:].copy()
        for number, flat in enumerate(_flat(pcm[:whole].reshape(-1, _BLOCK))):
            if flat:
                self._die(start_sample + number * _BLOCK, _BLOCK)
            else:
                self._live(_BLOCK)

    def gap(self, start_sample: int, end_sample: int, *, owed: bool) -> None:
        """Take a span without samples; `owed` says that there should have been some and nobody knows why not."""
        self._end = end_sample
        self._rest = self._rest[:0]
        self._loop.forget()
        if owed:
            if not self._missing:
                self._missing_since = start_sample
            self._missing += end_sample - start_sample
        else:
            self._missing = 0
            self._revive()

    def problem(self, waited_samples: int = 0) -> CaptureProblem | None:
        """Return what is wrong, None if nothing is.

        Args:
            waited_samples: time for which nothing at all has come of the track, though its client was there.
        """
        if self._missing + waited_samples >= MISSING_SAMPLES:
            return CaptureProblem("no_audio", self._missing_since if self._missing else self._end)
        return CaptureProblem("silent_capture", self._since) if self._silent else None

    def _die(self, start_sample: int, samples: int) -> None:
        if start_sample - self._dead_end > _HOLE_SAMPLES and not self._silent:
            self._dead = 0
        if not self._dead:
            self._since = start_sample
        self._alive = 0
        self._dead += samples
        self._dead_end = start_sample + samples
        self._silent |= self._dead >= _EVIDENCE_SAMPLES and self._dead_end - self._since >= DEAD_SAMPLES

    def _live(self, samples: int) -> None:
        self._alive += samples
        if self._alive >= ALIVE_SAMPLES:
            self._revive()

    def _revive(self) -> None:
        self._silent = False
        self._dead = self._alive = 0


class _Loop:
    """Finds out whether sound is exactly what it was a moment ago, over and over; a moment is at most a second."""

    def __init__(self) -> None:
        self._history = bytearray()
        self._lag_bytes = 0
        self._since_search = 0

    def repeats(self, pcm: Pcm) -> bool:
        """Take samples; returns whether all of them repeat."""
        data = pcm.tobytes()
        history = self._history
        history += data
        del history[: -_LONGEST_LOOP_BYTES - len(data)]
        if self._lag_bytes:
            place = len(history) - len(data) - self._lag_bytes
            if history[place : place + len(data)] == data:
                return True
            self._lag_bytes = 0
        self._since_search += len(pcm)
        if self._since_search >= _SEARCH_SAMPLES:
            self._since_search = 0
            self._lag_bytes = self._search()
        return False

    def forget(self) -> None:
        """Begin afresh."""
        self._history.clear()
        self._lag_bytes = 0

    def _search(self) -> int:
        """Return how many bytes ago the newest block was there before; 0 if it was not."""
        last = len(self._history) - _BLOCK_BYTES
        if last <= 0:
            return 0
        block = self._history[last:]
        place = self._history.find(block, max(0, last - _LONGEST_LOOP_BYTES), -1)
        while place >= 0 and (last - place) % BYTES_PER_SAMPLE:  # between two samples
            place = self._history.find(block, place + 1, -1)
        return last - place if place >= 0 else 0


def _flat(blocks: NDArray[np.int16]) -> list[bool]:
    """Return of each block whether nothing lives in it."""
    # int16 would overflow between the two ends of its range.
    ranges = blocks.max(axis=1).astype(np.int32) - blocks.min(axis=1)
    flat = ranges <= _FLAT_RANGE
    if flat.any():
        flat &= np.count_nonzero(blocks[:, 1:] != blocks[:, :-1], axis=1) <= _FLAT_CHANGES
    found: list[bool] = flat.tolist()
    return found
