"""Talk statistics are exact."""

import pytest

from services.report.analysis.spans import overlap_ms, union
from services.report.analysis.statistics import talk_statistics
from services.report.transcript import Segment


def segment(number: int, who: str, start_ms: int, end_ms: int, text: str = "one two three") -> Segment:
    return Segment(f"s{number}", who, who.title(), start_ms, end_ms, text, number)


def test_shares_turns_pauses_and_silence() -> None:
    said = [
        segment(1, "ann", 0, 2_000),
        segment(2, "ben", 3_000, 9_000, "um four five six"),
        segment(3, "ben", 9_500, 10_500),
        segment(4, "ann", 11_000, 12_000),
    ]
    talk = talk_statistics(said, 20_000, ["ann", "ann"])
    ann, ben = talk.speakers
    assert (ann.talk_ms, ben.talk_ms, talk.silence_ms, talk.overlap_ms) == (3_000, 7_000, 10_000, 0)
    assert (ann.talk_ratio, ben.talk_ratio) == (0.3, 0.7)
    assert (ann.turns, ben.turns, ben.longest_turn_ms) == (2, 1, 7_500)
    assert (ann.questions, ben.questions) == (2, 0)
    assert (ann.patience_ms, ben.patience_ms) == (500, 1_000)
    assert ben.words == 7
    assert ben.words_per_minute == 60.0
    assert ben.fillers_per_100_words == pytest.approx(100 / 7)
    assert talk.switches_per_minute == 6.0
    assert 0 < talk.balance < 1


def test_speech_over_speech_and_interruptions() -> None:
    said = [segment(1, "ann", 0, 5_000), segment(2, "ben", 4_000, 6_000), segment(3, "eva", 6_000, 7_000)]
    talk = talk_statistics(said, 7_000, [])
    assert talk.overlap_ms == 1_000
    assert talk.silence_ms == 0
    assert [speaker.interruptions for speaker in talk.speakers] == [0, 1, 0]
    assert talk.speakers[1].patience_ms is None


def test_equal_shares_are_balanced_and_one_voice_is_not() -> None:
    two = [segment(1, "ann", 0, 1_000), segment(2, "ben", 1_000, 2_000)]
    assert talk_statistics(two, 2_000, []).balance == pytest.approx(1.0)
    assert talk_statistics(two[:1], 2_000, []).balance == 0.0


def test_two_tracks_of_one_participant_count_once() -> None:
    said = [segment(1, "ann", 0, 2_000), segment(2, "ann", 1_000, 3_000)]
    talk = talk_statistics(said, 3_000, [])
    assert talk.speakers[0].talk_ms == 3_000
    assert talk.overlap_ms == 0


def test_an_empty_meeting() -> None:
    talk = talk_statistics([], 0, [])
    assert talk.speakers == ()
    assert talk.switches_per_minute == 0.0


def test_unions_and_overlaps() -> None:
    assert union([(5, 9), (0, 2), (2, 3), (8, 8)]) == [(0, 3), (5, 9)]
    assert overlap_ms([[(0, 10)], [(5, 6), (8, 20)], [(9, 12)]]) == 1 + 4
