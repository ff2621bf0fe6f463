"""Questions are found with their answers."""

import pytest

from services.report.analysis.questions import is_question, questions
from services.report.analysis.sentences import sentences, sentences_of
from services.report.document import Confidence, Question
from services.report.transcript import Segment
from tests.unit.report.interview import ENGLISH, RUSSIAN, segments


def asked(text: str) -> bool:
    (said,) = sentences_of(Segment("s1", "ann", "Ann", 0, 1_000, text), "en")
    return is_question(said)


@pytest.mark.parametrize(
    "text",
    [
        "What was the hard problem?",
        "tell me about your last project",
        "Please tell me about the first team.",
        "so why did you choose python",
        "can you review the budget",
        "Почему вы выбрали питон а не докер?",
        "Расскажите про ваш сложный тест.",
        "сколько недель вы работали над проектом",
        "У вас есть вопрос про бюджет?",
    ],
)
def test_a_question_is_known(text: str) -> None:
    assert asked(text)


@pytest.mark.parametrize(
    "text",
    [
        "Right?",
        "What a project.",
        "We know why.",
        "I will send it.",
        "Когда клиент начал, мы закончили.",
        "Мы начали тест",
    ],
)
def test_a_statement_is_not_a_question(text: str) -> None:
    assert not asked(text)


def found(*said: tuple[str, str]) -> tuple[Question, ...]:
    return questions(sentences(segments(said), "en"))


@pytest.mark.parametrize(("said", "answerer"), [(ENGLISH, "Ben"), (RUSSIAN, "Борис")])
def test_the_sample_interview(said: tuple[tuple[str, str], ...], answerer: str) -> None:
    first, second, last = questions(sentences(segments(said), "en"))
    assert first.answered
    assert first.answered_by == answerer
    assert len(first.answer) == 2
    assert second.answered
    assert not last.answered
    assert last.answered_by == ""


def test_questions_asked_together_share_their_answer() -> None:
    one, other = found(("Ann", "What did you build? Why did you build it?"), ("Ben", "A service for the client."))
    assert one.answered
    assert other.answered
    assert one.answer[0].claim_id != other.answer[0].claim_id


def test_a_question_asked_again_later_was_not_answered() -> None:
    gone = Segment("s1", "ann", "Ann", 0, 2_000, "Who will fix the budget?")
    again = Segment("s2", "ann", "Ann", 20_000, 22_000, "When did you start?")
    reply = Segment("s3", "ben", "Ben", 23_000, 24_000, "Two weeks ago.")
    first, second = questions(sentences([gone, again, reply], "en"))
    assert not first.answered
    assert second.answered


def test_a_question_in_return_is_no_answer() -> None:
    first, _ = found(("Ann", "Who will fix the budget?"), ("Ben", "Which budget?"))
    assert not first.answered


def test_a_hesitation_is_no_answer() -> None:
    (only,) = found(("Ann", "Who will fix the budget?"), ("Ben", "Um, uh."))
    assert not only.answered


def test_a_murmur_does_not_cut_an_answer() -> None:
    (only,) = found(("Ann", "What did you build?"), ("Ben", "A service."), ("Ann", "Okay."), ("Ben", "And a database."))
    assert [claim.text for claim in only.answer] == ["A service.", "And a database."]


def test_a_question_without_its_mark_is_less_sure() -> None:
    (marked,) = found(("Ann", "Who will fix the budget?"))
    (bare,) = found(("Ann", "who will fix the budget"))
    assert (marked.question.confidence, bare.question.confidence) == (Confidence.HIGH, Confidence.MEDIUM)
