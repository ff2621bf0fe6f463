"""Coverage: what became of every millisecond of every participant. Pure arithmetic on spans of samples.

The timeline of a participant is cut at every boundary of any of their tracks; each piece gets the best that some track
says about it. Boundaries are converted to milliseconds before anything is subtracted, so the pieces always add up to
the meeting's length, whatever the rounding.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from services.ingest.intake.track import Span, SpanKind
from services.ingest.timeline import milliseconds_of


class Coverage(IntEnum):
    """What became of a span; where tracks of one participant overlap, the lowest counts."""

    TRANSCRIBED = 1
    PENDING = 2
    CONCEALED = 3
    SILENT = 4
    MUTED = 5
    WITHDRAWN = 6
    LOST = 7
    ABSENT = 8


@dataclass(frozen=True, slots=True)
class Interval:
    """Milliseconds `[start_ms, end_ms)` of one kind."""

    start_ms: int
    end_ms: int
    kind: Coverage


@dataclass(frozen=True, slots=True)
class TrackAccount:
    """What one track tells, all in samples on the meeting's timeline.

    Spans touch, from `start` on. From the end of the last one to `end` the participant was there and nothing came:
    lost, or pending while the session is `open`. Finals are `[start, end)`, in any order.
    """

    start: int
    end: int
    spans: Sequence[Span]
    decided: int
    finals: Sequence[tuple[int, int]]
    open: bool = False


def account(tracks: Iterable[TrackAccount], duration_sample: int) -> list[Interval]:
    """Return one participant's intervals: in order, touching, from 0 to the meeting's length, none empty."""
    edges = _edges([piece for track in tracks for piece in _pieces(track)], duration_sample)
    intervals: list[Interval] = []
    for start, end, kind in edges:
        start_ms, end_ms = milliseconds_of(start), milliseconds_of(end)
        if start_ms == end_ms:
            continue
        if intervals and intervals[-1].kind is kind:
            intervals[-1] = Interval(intervals[-1].start_ms, end_ms, kind)
        else:
            intervals.append(Interval(start_ms, end_ms, kind))
    return intervals


def totals(intervals: Iterable[Interval]) -> dict[Coverage, int]:
    """Return the milliseconds of each kind."""
    sums = dict.fromkeys(Coverage, 0)
    for interval in intervals:
        sums[interval.kind] += interval.end_ms - interval.start_ms
    return sums


Piece = tuple[int, int, Coverage]


def _pieces(track: TrackAccount) -> Iterator[Piece]:
    """Yield what a track says about its own time, in order and touching."""
    finals = _merged(track.finals)
    position = track.start
    place = 0
    for span in track.spans:
        for start, end, decided in _halves(span, track.decided):
            kind = _KINDS.get(span.kind)
            if kind is not None:
                yield start, end, kind
            elif not decided:
                yield start, end, Coverage.PENDING
            elif span.kind is SpanKind.CONCEALED:
                yield start, end, Coverage.CONCEALED
            else:
                while place < len(finals) and finals[place][1] <= start:
                    place += 1
                yield from _spoken(start, end, finals, place)
        position = span.end
    if position < track.end:
        yield position, track.end, Coverage.PENDING if track.open else Coverage.LOST


# Known without any text: whether speech recognition has come that far does not matter.
_KINDS = {
    SpanKind.FILL: Coverage.SILENT,
    SpanKind.MUTED: Coverage.MUTED,
    SpanKind.WITHDRAWN: Coverage.WITHDRAWN,
    SpanKind.LOST: Coverage.LOST,
}


def _halves(span: Span, decided: int) -> Iterator[tuple[int, int, bool]]:
    middle = min(max(span.start, decided), span.end)
    if span.start < middle:
        yield span.start, middle, True
    if middle < span.end:
        yield middle, span.end, False


def _spoken(start: int, end: int, finals: Sequence[tuple[int, int]], place: int) -> Iterator[Piece]:
    """Cut heard and decided samples into what stands in the transcript and what was silence."""
    position = start
    while place < len(finals) and finals[place][0] < end:
        first, last = max(finals[place][0], start), min(finals[place][1], end)
        if position < first:
            yield position, first, Coverage.SILENT
        if first < last:
            yield first, last, Coverage.TRANSCRIBED
        position = max(position, last)
        place += 1
    if position < end:
        yield position, end, Coverage.SILENT


def _merged(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans in order, without overlap."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _edges(pieces: Sequence[Piece], duration: int) -> Iterator[Piece]:
    """Sweep over the timeline: at each edge a piece begins or ends, between edges the best kind counts."""
    changes: list[tuple[int, int, Coverage]] = []
    for start, end, kind in pieces:
        start, end = max(0, start), min(end, duration)
        if start < end:
            changes += [(start, 1, kind), (end, -1, kind)]
    changes.sort(key=lambda change: change[0])
    active = dict.fromkeys(Coverage, 0)
    active[Coverage.ABSENT] = 1
    position = 0
    for sample, change, kind in changes:
        if sample > position:
            yield position, sample, next(each for each in Coverage if active[each])
            position = sample
        active[kind] += change
    if position < duration:
        yield position, duration, next(each for each in Coverage if active[each])
