"""Key phrases and key moments point at what was said."""

import pytest

from services.report.analysis.moments import key_moments
from services.report.analysis.phrases import key_phrases
from services.report.analysis.sentences import sentences
from tests.unit.report.interview import ENGLISH, RUSSIAN, segments


@pytest.mark.parametrize(("said", "phrase"), [(ENGLISH, "database"), (RUSSIAN, "сервис")])
def test_a_subject_that_comes_back_is_a_phrase(said: tuple[tuple[str, str], ...], phrase: str) -> None:
    found = {key.phrase: key for key in key_phrases(sentences(segments(said), "en"))}
    assert found[phrase].count == 3
    assert len(found[phrase].evidence) == 3


def test_russian_forms_are_one_phrase() -> None:
    (found,) = key_phrases(sentences(segments([("Анна", "Тестовая база."), ("Борис", "Нет тестовой базы.")]), "ru"))
    assert (found.phrase, found.count) == ("тестовая база", 2)


def test_names_and_small_words_are_no_phrases() -> None:
    said = [("Ann", "Thanks Ben, thanks Ben, okay okay, really really.")]
    assert key_phrases(sentences(segments([*said, ("Ben", "Yes Ann, yes Ann.")]), "en")) == ()


def test_a_long_phrase_takes_its_parts_along() -> None:
    said = [("Ann", "The gas limit is low."), ("Ben", "We raise the gas limit.")]
    assert next(key.phrase for key in key_phrases(sentences(segments(said), "en"))) == "gas limit"


def test_moments_stand_alone_and_in_order() -> None:
    found = key_moments(sentences(segments(ENGLISH), "en"), 40_000)
    assert found
    starts = [claim.evidence[0].start_ms for claim in found]
    assert starts == sorted(starts)
    assert not any(claim.text.endswith("?") or claim.text.startswith(("Hello", "Yes")) for claim in found)


def test_a_sentence_is_not_picked_twice() -> None:
    said = [("Ann", "The release of the database is next.")] * 6
    assert len(key_moments(sentences(segments(said), "en"), 24_000)) == 1


def test_nothing_said_gives_nothing() -> None:
    assert key_moments([], 0) == ()
    assert key_phrases([]) == ()
