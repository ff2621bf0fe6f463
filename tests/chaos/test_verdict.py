"""The verdict finds what is missing, what is there twice and what differs."""

from dataclasses import replace

import numpy as np
import pytest

from tests.chaos.calls.call import Call
from tests.chaos.evidence import Evidence, Said
from tests.chaos.sample import Sample
from tests.chaos.verdict import judge

TRACK = np.arange(16_000, dtype=np.int16)
SAID = (Said("ann", 0, 4_000, "One two."), Said("ann", 6_000, 12_000, "Three four five."))
WHOLE = Evidence(
    state="finished",
    report_state="ready",
    duration_ms=1_000,
    said=SAID,
    ordinals=(1, 2),
    coverage_ms={"ann": {"transcribed": 625, "silent": 375}},
    recordings={"ann": TRACK},
    reports=1,
    artifacts=9,
    jobs_twice=0,
)


@pytest.fixture
def call() -> Call:
    held = Call("stream", Sample("en-1", "en", {"ann": TRACK}), meeting_id="m")
    held.keep("ann", TRACK.tobytes())
    held.acknowledge_all()
    return held


def test_what_is_as_it_was_is_sound(call: Call):
    assert judge(call, WHOLE, WHOLE).sound


def test_a_missing_segment_is_a_hole(call: Call):
    verdict = judge(call, replace(WHOLE, said=SAID[:1], ordinals=(1,)), WHOLE)
    assert (verdict.holes, verdict.duplicates, verdict.last_words_present) == (1, 0, False)


def test_a_segment_too_many_is_a_duplicate(call: Call):
    again = Said("ann", 0, 3_000, "One.")
    verdict = judge(call, replace(WHOLE, said=(*SAID, again), ordinals=(1, 2, 3)), WHOLE)
    assert (verdict.duplicates, verdict.holes) == (1, 0)
    verdict = judge(call, replace(WHOLE, said=(*SAID, SAID[0]), ordinals=(1, 2, 3)), WHOLE)
    assert verdict.duplicates == 1


def test_other_words_and_another_cut_are_wrong(call: Call):
    other = replace(SAID[1], text="Three or five.")
    assert judge(call, replace(WHOLE, said=(SAID[0], other)), WHOLE).wrong_words == 1
    moved = replace(SAID[1], end_sample=12_500)
    assert judge(call, replace(WHOLE, said=(SAID[0], moved)), WHOLE).wrong_words == 1


def test_one_wrong_sample_is_a_hole(call: Call):
    bent = TRACK.copy()
    bent[77] += 1
    assert judge(call, replace(WHOLE, recordings={"ann": bent}), WHOLE).holes == 1
    assert judge(call, replace(WHOLE, recordings={"ann": TRACK[:-1]}), WHOLE).holes == 1
    assert judge(call, replace(WHOLE, recordings={}), WHOLE).holes == 1


def test_lost_and_pending_time_counts(call: Call):
    lost = replace(WHOLE, coverage_ms={"ann": {"transcribed": 625, "silent": 275, "lost": 100}})
    assert (judge(call, lost, WHOLE).lost_ms, judge(call, lost, WHOLE).miscounted) == (100, 1)
    short = replace(WHOLE, coverage_ms={"ann": {"transcribed": 625}})
    assert judge(call, short, WHOLE).miscounted == 1


def test_of_a_call_that_broke_counts_what_was_acknowledged():
    held = Call("stream", Sample("en-1", "en", {"ann": TRACK}), meeting_id="m", problem="refused")
    held.keep("ann", TRACK[:5_000].tobytes())
    rest = replace(WHOLE, said=SAID[:1], ordinals=(1,), recordings={"ann": TRACK[:5_000]})
    verdict = judge(held, rest, WHOLE)
    assert (verdict.broken, verdict.holes, verdict.wrong_words) == (True, 0, 0)
    assert judge(held, replace(rest, recordings={"ann": TRACK[:4_000]}), WHOLE).holes == 1
