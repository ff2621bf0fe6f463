"""Commitments and requests are found with owner, date and confidence."""

from datetime import date

import pytest

from services.report.analysis.actions import action_of, actions
from services.report.analysis.analyser import people
from services.report.analysis.sentences import sentences, sentences_of
from services.report.document import ActionItem, ActionKind, Confidence
from services.report.transcript import Segment
from tests.unit.report.interview import ENGLISH, HELD_ON, RUSSIAN, segments

TWO = {"ann": "Ann", "ben": "Ben"}
THREE = {"ann": "Анна", "ben": "Борис", "eva": "Ева"}
COMMITMENT, REQUEST = ActionKind.COMMITMENT, ActionKind.REQUEST


def action(text: str, people: dict[str, str] = TWO) -> ActionItem | None:
    (said,) = sentences_of(Segment("s1", "ben", people["ben"], 0, 1_000, text), "en")
    return action_of(said, people, HELD_ON)


@pytest.mark.parametrize(
    ("text", "kind", "owner", "due"),
    [
        ("I will send the report tomorrow.", COMMITMENT, "Ben", date(2026, 11, 19)),
        ("I'll also fix the database by Friday.", COMMITMENT, "Ben", date(2026, 11, 20)),
        ("Yes we can review it Friday.", COMMITMENT, "Ben", date(2026, 11, 20)),
        ("Let me check the logs.", COMMITMENT, "Ben", None),
        ("The engineer will test the service in two days.", COMMITMENT, "engineer", date(2026, 11, 20)),
        ("Ann will review the budget next week.", COMMITMENT, "Ann", date(2026, 11, 27)),
        ("Can you review the budget on Monday?", REQUEST, "Ann", date(2026, 11, 23)),
        ("Please send me the numbers.", REQUEST, "Ann", None),
        ("We need three more weeks for the database.", REQUEST, "Ann", None),
        ("Я отправлю отчёт завтра.", COMMITMENT, "Ben", date(2026, 11, 19)),
        ("Завтра отправлю отчёт.", COMMITMENT, "Ben", date(2026, 11, 19)),
        ("Да мы можем закончить его завтра.", COMMITMENT, "Ben", date(2026, 11, 19)),
        ("Инженер будет проверить отчёт.", COMMITMENT, "инженер", None),
        ("Менеджер проверит бюджет через неделю.", COMMITMENT, "менеджер", date(2026, 11, 25)),
        ("Можно проверить отчёт сегодня?", REQUEST, "Ann", date(2026, 11, 18)),
        ("Пришлите отчёт до пятницы.", REQUEST, "Ann", date(2026, 11, 20)),
        ("Нам нужно ещё восемь недель на отчёт.", REQUEST, "Ann", None),
    ],
)
def test_an_action_is_known(text: str, kind: ActionKind, owner: str, due: date | None) -> None:
    found = action(text)
    assert found is not None
    assert (found.kind, found.owner, found.due_date) == (kind, owner, due)
    assert found.claim.evidence[0].quote == text


@pytest.mark.parametrize(
    "text",
    [
        "Who will fix the hard problem?",
        "Will the engineer test the service tomorrow?",
        "I worked with docker for five years.",
        "No I did not review the report.",
        "I will be in the office on Monday.",
        "I can build services.",
        "Let me share my screen.",
        "The test will take two days.",
        "Please tell me about the first team.",
        "Кто должен проверить отчёт?",
        "Мы проверили отчёт вчера.",
        "Давайте посмотрим отчёт.",
        "Я не отправлю отчёт завтра.",
        "Отчёт проверит тест.",
    ],
)
def test_talk_that_is_no_action(text: str) -> None:
    assert action(text) is None


@pytest.mark.parametrize(
    ("text", "confidence"),
    [
        ("I will send the report tomorrow.", Confidence.HIGH),
        ("I will send the report.", Confidence.MEDIUM),
        ("Maybe I will send the report.", Confidence.LOW),
    ],
)
def test_a_date_adds_confidence_and_a_doubt_takes_it(text: str, confidence: Confidence) -> None:
    found = action(text)
    assert found is not None
    assert found.claim.confidence == confidence


def test_the_one_who_is_named_is_asked() -> None:
    found = action("Ева, пришлите отчёт до пятницы.", THREE)
    assert found is not None
    assert found.owner == "Ева"


def test_nobody_is_guessed_among_three() -> None:
    found = action("Пришлите отчёт до пятницы.", THREE)
    assert found is not None
    assert found.owner == ""


@pytest.mark.parametrize("said", [ENGLISH, RUSSIAN])
def test_the_sample_interview(said: tuple[tuple[str, str], ...]) -> None:
    made = segments(said)
    found = actions(sentences(made, "en"), people(made), HELD_ON)
    assert [item.kind for item in found] == [REQUEST, COMMITMENT, COMMITMENT, REQUEST, COMMITMENT]
