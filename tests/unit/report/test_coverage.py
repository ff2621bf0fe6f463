"""The account of every second adds up, or says by how much it does not."""

from services.report.coverage import coverage_lines
from services.report.document import CoverageTotals, ParticipantCoverage
from services.report.wording import percents, wording

ANN = ParticipantCoverage("ann", "Ann", CoverageTotals(transcribed=61_000, silent=38_000, muted=1_000))
EVE = ParticipantCoverage("eve", "Eve", CoverageTotals(transcribed=60_000, withdrawn=40_000))
BEN = ParticipantCoverage("ben", "Ben", CoverageTotals(transcribed=49_999, silent=40_000, lost=1), absent_ms=10_000)


def test_every_second_is_accounted_for() -> None:
    assert coverage_lines([ANN], 100_000, wording("en")) == [
        "Every second accounted for: transcribed 61 %, silent 38 %, muted 1 %, lost 0.0 s.",
        "Ann: transcribed 61 %, silent 38 %, muted 1 %, lost 0.0 s",
    ]
    assert coverage_lines([ANN], 100_000, wording("ru"))[0].startswith("Учтена каждая секунда: расшифровано 61 %")


def test_a_lost_millisecond_never_reads_as_nothing() -> None:
    lines = coverage_lines([ANN, BEN], 100_000, wording("en"))
    assert lines[0].endswith("lost 0.1 s.")
    assert lines[2] == "Ben: transcribed 56 %, silent 44 %, lost 0.1 s, absent 10.0 s"


def test_who_withdrew_is_not_called_silent_or_lost() -> None:
    assert coverage_lines([EVE], 100_000, wording("en"))[1] == (
        "Eve: transcribed 60 %, not recorded at their own wish 40 %, lost 0.0 s"
    )


def test_a_hole_in_the_account_is_admitted() -> None:
    assert coverage_lines([ANN], 101_500, wording("en"))[0].startswith(
        "Not every second is accounted for (1.5 s missing)"
    )


def test_no_account_no_line() -> None:
    assert coverage_lines([], 100_000, wording("en")) == []


def test_percents_add_up_to_a_hundred() -> None:
    assert percents([1, 1, 1]) == [34, 33, 33]
    assert percents([0, 0]) == [0, 0]


def test_numbers_take_their_nouns_form() -> None:
    russian = wording("ru")
    assert [russian.counted("questions", number) for number in (1, 2, 5, 11, 21, 112)] == [
        "1 вопрос",
        "2 вопроса",
        "5 вопросов",
        "11 вопросов",
        "21 вопрос",
        "112 вопросов",
    ]
    assert wording("en").length(3_661_000) == "1 h 1 min 1 s"
