"""A claim without evidence cannot be constructed, and a false quotation is found."""

import dataclasses

import pytest

from services.report.analysis.analyser import analyse
from services.report.document import Claim, Confidence, Evidence, KeyPhrase, Origin, UnfoundedClaim
from services.report.verification import verify
from tests.unit.report.interview import ENGLISH, NOW, transcript

QUOTE = Evidence("s1", 0, 5, "words", "ben", "Ben", 0, 1_000)


def test_a_claim_without_evidence_cannot_be_constructed() -> None:
    with pytest.raises(UnfoundedClaim):
        Claim("c1", "Ben is the best", (), Origin.MODEL, Confidence.HIGH)
    with pytest.raises(UnfoundedClaim):
        KeyPhrase("budget", 3, ())


@pytest.mark.parametrize(
    "change",
    [{"quote": ""}, {"quote": "word"}, {"char_start": -1}, {"segment_id": ""}, {"end_ms": -1}, {"start_ms": 2_000}],
)
def test_a_quotation_that_cannot_stand_anywhere_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UnfoundedClaim):
        dataclasses.replace(QUOTE, **change)  # type: ignore[arg-type]


def test_the_analysers_report_verifies() -> None:
    made = transcript(ENGLISH)
    report = analyse(made, NOW)
    assert report.actions
    assert verify(report, made.segments) == []


def test_a_changed_word_in_the_transcript_is_found() -> None:
    made = transcript(ENGLISH)
    report = analyse(made, NOW)
    changed = [dataclasses.replace(segment, text=segment.text.replace("send", "lose")) for segment in made.segments]
    assert any("the quote differs from segment s5" in problem for problem in verify(report, changed))


def test_a_missing_segment_and_another_speaker_are_found() -> None:
    made = transcript(ENGLISH)
    report = analyse(made, NOW)
    without = [segment for segment in made.segments if segment.segment_id != "s5"]
    assert any("no segment s5" in problem for problem in verify(report, without))
    swapped = [dataclasses.replace(segment, participant_id="eve") for segment in made.segments]
    assert any("another participant" in problem for problem in verify(report, swapped))


def test_times_outside_the_segment_are_found() -> None:
    made = transcript(ENGLISH)
    report = analyse(made, NOW)
    moved = [dataclasses.replace(segment, end_ms=segment.start_ms + 1) for segment in made.segments]
    assert any("the times lie outside" in problem for problem in verify(report, moved))
