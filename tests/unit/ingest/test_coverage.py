"""Coverage: whatever happened on the tracks, the parts add up to the meeting's length to the millisecond."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.coverage.coverage import Coverage, Interval, TrackAccount, account, totals
from services.ingest.intake.track import Span, SpanKind
from services.ingest.timeline import milliseconds_of

MS = 16


@st.composite
def track_accounts(draw: st.DrawFn) -> TrackAccount:
    start = draw(st.integers(0, 5_000))
    position = start
    spans = []
    for _ in range(draw(st.integers(0, 8))):
        end = position + draw(st.integers(1, 4_000))
        spans.append(Span(position, end, draw(st.sampled_from(SpanKind))))
        position = end
    end = position + draw(st.integers(0, 3_000))
    finals = draw(st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 5_000)), max_size=6))
    return TrackAccount(
        start=start,
        end=end,
        spans=spans,
        decided=draw(st.integers(start, max(start, position))),
        finals=[(first, first + length) for first, length in finals],
        open=draw(st.booleans()),
    )


@given(st.lists(track_accounts(), max_size=4), st.integers(0, 60_000))
@settings(max_examples=500, deadline=None)
def test_intervals_touch_and_add_up_to_the_length_exactly(tracks: list[TrackAccount], duration: int) -> None:
    intervals = account(tracks, duration)

    position = 0
    for interval in intervals:
        assert interval.start_ms == position
        assert interval.end_ms > interval.start_ms
        position = interval.end_ms
    assert position == milliseconds_of(duration)
    assert sum(totals(intervals).values()) == milliseconds_of(duration)
    for one, other in itertools.pairwise(intervals):
        assert one.kind is not other.kind


@given(track_accounts(), st.integers(0, 60_000))
@settings(max_examples=300, deadline=None)
def test_every_sample_has_the_kind_that_its_span_says(track: TrackAccount, duration: int) -> None:
    """The same account, sample by sample, the slow way."""
    aligned = TrackAccount(
        start=_align(track.start),
        end=_align(track.end),
        spans=[Span(_align(span.start), _align(span.end), span.kind) for span in track.spans],
        decided=_align(track.decided),
        finals=[(_align(start), _align(end)) for start, end in track.finals],
        open=track.open,
    )
    aligned_kinds = dict.fromkeys(Coverage, 0)
    for sample in range(0, _align(duration), MS):
        aligned_kinds[_kind_at(aligned, sample)] += 1
    assert totals(account([aligned], _align(duration))) == aligned_kinds


def _align(sample: int) -> int:
    return sample // MS * MS


def _kind_at(track: TrackAccount, sample: int) -> Coverage:
    if not track.start <= sample < track.end:
        return Coverage.ABSENT
    for span in track.spans:
        if span.start <= sample < span.end:
            match span.kind:
                case SpanKind.FILL:
                    return Coverage.SILENT
                case SpanKind.MUTED:
                    return Coverage.MUTED
                case SpanKind.WITHDRAWN:
                    return Coverage.WITHDRAWN
                case SpanKind.LOST:
                    return Coverage.LOST
            if sample >= track.decided:
                return Coverage.PENDING
            if span.kind is SpanKind.CONCEALED:
                return Coverage.CONCEALED
            spoken = any(start <= sample < end for start, end in track.finals)
            return Coverage.TRANSCRIBED if spoken else Coverage.SILENT
    return Coverage.PENDING if track.open else Coverage.LOST


def heard(start_ms: int, end_ms: int, kind: SpanKind = SpanKind.HEARD) -> Span:
    return Span(start_ms * MS, end_ms * MS, kind)


def test_concealed_samples_are_concealed_within_an_utterance_too() -> None:
    track = TrackAccount(
        start=0,
        end=3_000 * MS,
        spans=[heard(0, 1_000), heard(1_000, 1_100, SpanKind.CONCEALED), heard(1_100, 3_000)],
        decided=3_000 * MS,
        finals=[(500 * MS, 2_000 * MS)],
    )
    assert account([track], 3_000 * MS) == [
        Interval(0, 500, Coverage.SILENT),
        Interval(500, 1_000, Coverage.TRANSCRIBED),
        Interval(1_000, 1_100, Coverage.CONCEALED),
        Interval(1_100, 2_000, Coverage.TRANSCRIBED),
        Interval(2_000, 3_000, Coverage.SILENT),
    ]


def test_who_joins_late_and_leaves_early_is_absent_at_both_ends() -> None:
    track = TrackAccount(start=1_000 * MS, end=2_000 * MS, spans=[heard(1_000, 2_000)], decided=2_000 * MS, finals=[])
    assert account([track], 5_000 * MS) == [
        Interval(0, 1_000, Coverage.ABSENT),
        Interval(1_000, 2_000, Coverage.SILENT),
        Interval(2_000, 5_000, Coverage.ABSENT),
    ]


def test_two_tracks_of_one_participant_merge_and_the_better_one_counts() -> None:
    lost = TrackAccount(
        start=0,
        end=4_000 * MS,
        spans=[heard(0, 1_000), heard(1_000, 4_000, SpanKind.LOST)],
        decided=4_000 * MS,
        finals=[(0, 1_000 * MS)],
    )
    other = TrackAccount(
        start=2_000 * MS,
        end=3_000 * MS,
        spans=[heard(2_000, 3_000)],
        decided=3_000 * MS,
        finals=[(2_000 * MS, 2_500 * MS)],
    )
    assert account([lost, other], 4_000 * MS) == [
        Interval(0, 1_000, Coverage.TRANSCRIBED),
        Interval(1_000, 2_000, Coverage.LOST),
        Interval(2_000, 2_500, Coverage.TRANSCRIBED),
        Interval(2_500, 3_000, Coverage.SILENT),
        Interval(3_000, 4_000, Coverage.LOST),
    ]


def test_what_is_not_decided_is_pending_and_so_is_what_may_still_come() -> None:
    track = TrackAccount(
        start=0, end=3_000 * MS, spans=[heard(0, 2_000)], decided=500 * MS, finals=[(0, 500 * MS)], open=True
    )
    assert account([track], 3_000 * MS) == [
        Interval(0, 500, Coverage.TRANSCRIBED),
        Interval(500, 3_000, Coverage.PENDING),
    ]


def test_nobody_is_absent_throughout() -> None:
    assert account([], 1_000 * MS) == [Interval(0, 1_000, Coverage.ABSENT)]
