"""The clean transcript says what was said, without the stumbling."""

import pytest

from services.report.enhancer import clean_lines, clean_text, turns
from services.report.transcript import Segment
from tests.unit.report.interview import ENGLISH, transcript


@pytest.mark.parametrize(
    ("language", "raw", "clean"),
    [
        ("en", "um, so we we tested the the service", "So we tested the service."),
        ("en", "It was, you know, a hard project. i think", "It was a hard project. I think."),
        ("en", "I will I will send it", "I will send it."),
        ("en", "No no no.", "No no no."),
        ("en", "  it  works ,  fine !", "It works, fine!"),
        ("en", "why did you choose docker", "Why did you choose docker?"),
        ("en", "Um. Uh, hmm", ""),
        ("ru", "эээ я я отправлю отчёт", "Я отправлю отчёт."),
        ("ru", "Да да, мы можем", "Да да, мы можем."),
        ("ru", "Это был, как бы, сложный тест", "Это был сложный тест."),
    ],
)
def test_clean_text(language: str, raw: str, clean: str) -> None:
    assert clean_text(raw, language) == clean


@pytest.mark.parametrize(("raw", "language"), [("um, so we we tested", "en"), ("ну я я начал", "ru")])
def test_cleaning_twice_changes_nothing(raw: str, language: str) -> None:
    once = clean_text(raw, language)
    assert clean_text(once, language) == once


def test_segments_join_into_turns_and_keep_their_raw_words() -> None:
    made = turns(clean_lines(transcript(ENGLISH)))
    assert [turn.speaker for turn in made] == ["Ann", "Ben", "Ann", "Ben", "Ann"]
    assert made[0].raw == "Hello and thank you for the meeting. What was the hard problem?"
    assert (made[0].start_ms, made[0].end_ms) == (0, 7_000)


def test_a_long_pause_begins_a_new_turn() -> None:
    segments = (Segment("s1", "ann", "Ann", 0, 1_000, "One."), Segment("s2", "ann", "Ann", 12_000, 13_000, "Two."))
    made = transcript([])
    lines = clean_lines(type(made)("m1", 1, segments, made.held_on))
    assert len(turns(lines)) == 2
