"""Sentences know their characters and their times."""

from services.report.analysis.sentences import sentences, sentences_of
from services.report.transcript import Segment, Word

SEGMENT = Segment("s1", "ben", "Ben", 1_000, 5_000, "It works.  Dr. Smith tested it.")


def test_a_sentence_is_a_slice_of_its_segment() -> None:
    for said in sentences_of(SEGMENT, "en"):
        assert SEGMENT.text[said.char_start : said.char_end] == said.text
        assert said.evidence().quote == said.text


def test_abbreviations_end_no_sentence() -> None:
    assert [said.text for said in sentences_of(SEGMENT, "en")] == ["It works.", "Dr. Smith tested it."]
    russian = Segment("s2", "ben", "Ben", 0, 1_000, "Мы закончили, т.е. проверили. Всё готово.")
    assert len(sentences_of(russian, "ru")) == 2


def test_times_come_from_the_words_where_there_are_any() -> None:
    words = (Word("It", 1_100, 1_200), Word("works.", 1_300, 1_800), Word("Good.", 4_000, 4_400))
    segment = Segment("s1", "ben", "Ben", 1_000, 5_000, "It works. Good.", words=words)
    first, second = sentences_of(segment, "en")
    assert (first.start_ms, first.end_ms) == (1_100, 1_800)
    assert (second.start_ms, second.end_ms) == (4_000, 4_400)


def test_times_are_linear_where_words_do_not_spell_the_text() -> None:
    segment = Segment("s1", "ben", "Ben", 0, 1_000, "Yes. Good", words=(Word("no", 900, 950),))
    first, second = sentences_of(segment, "en")
    assert (first.start_ms, first.end_ms, second.end_ms) == (0, 444, 1_000)


def test_times_never_leave_the_segment() -> None:
    segment = Segment("s1", "ben", "Ben", 1_000, 1_500, "Late.", words=(Word("Late.", 900, 9_000),))
    (only,) = sentences_of(segment, "en")
    assert (only.start_ms, only.end_ms) == (1_000, 1_500)


def test_sentences_of_overlapping_speakers_come_as_they_began() -> None:
    long = Segment("s1", "ben", "Ben", 0, 10_000, "We began with the first part. We ended with the second part.")
    short = Segment("s2", "ann", "Ann", 2_000, 3_000, "Go on.")
    assert [said.segment.segment_id for said in sentences([long, short], "en")] == ["s1", "s2", "s1"]


def test_the_language_is_that_of_the_segment() -> None:
    russian = Segment("s2", "ben", "Ben", 0, 1_000, "Мы выбрали docker.")
    assert [said.language for said in sentences([SEGMENT, russian], "en")] == ["ru", "en", "en"]
