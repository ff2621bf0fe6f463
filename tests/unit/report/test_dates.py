"""Due dates are counted from the day of the meeting, a Wednesday."""

from datetime import date

import pytest

from services.report.analysis.dates import due_date
from services.report.analysis.lexicon import lexicon
from tests.unit.report.interview import HELD_ON


@pytest.mark.parametrize(
    ("language", "text", "day", "words"),
    [
        ("en", "I will send it tomorrow morning.", date(2026, 11, 19), "tomorrow morning"),
        ("en", "Send it the day after tomorrow.", date(2026, 11, 20), "the day after tomorrow"),
        ("en", "Send it by the end of the day.", date(2026, 11, 18), "by the end of the day"),
        ("en", "Send it on Wednesday.", date(2026, 11, 25), "on Wednesday"),
        ("en", "Send it on Friday.", date(2026, 11, 20), "on Friday"),
        ("en", "Send it next Friday.", date(2026, 11, 27), "next Friday"),
        ("en", "Send it next Monday.", date(2026, 11, 23), "next Monday"),
        ("en", "Send it in a couple of weeks.", date(2026, 12, 2), "in a couple of weeks"),
        ("en", "Send it in 3 months.", date(2027, 2, 18), "in 3 months"),
        ("en", "Send it by the end of the week.", date(2026, 11, 20), "by the end of the week"),
        ("en", "Send it by the end of the quarter.", date(2026, 12, 31), "by the end of the quarter"),
        ("en", "We review it next month.", date(2026, 12, 31), "next month"),
        ("en", "Send it before March 20.", date(2027, 3, 20), "before March 20"),
        ("en", "Send it on the 1st of December.", date(2026, 12, 1), "on the 1st of December"),
        ("en", "Send it by 2026-12-05.", date(2026, 12, 5), "by 2026-12-05"),
        ("en", "Today I check it and send it by Friday.", date(2026, 11, 20), "by Friday"),
        ("ru", "Отправлю завтра вечером.", date(2026, 11, 19), "завтра вечером"),
        ("ru", "Отправлю вечером.", date(2026, 11, 18), "вечером"),
        ("ru", "Отправлю утром.", date(2026, 11, 19), "утром"),
        ("ru", "Отправлю сегодня утром.", date(2026, 11, 18), "сегодня утром"),
        ("ru", "Отправлю послезавтра.", date(2026, 11, 20), "послезавтра"),
        ("ru", "Отправлю до четверга.", date(2026, 11, 19), "до четверга"),
        ("ru", "Отправлю к среде.", date(2026, 11, 25), "к среде"),
        ("ru", "Отправлю в следующую пятницу.", date(2026, 11, 27), "в следующую пятницу"),
        ("ru", "Отправлю через два дня.", date(2026, 11, 20), "через два дня"),
        ("ru", "Отправлю через неделю.", date(2026, 11, 25), "через неделю"),
        ("ru", "Отправлю до конца месяца.", date(2026, 11, 30), "до конца месяца"),
        ("ru", "Обсудим на следующей неделе.", date(2026, 11, 27), "на следующей неделе"),
        ("ru", "Отправлю до 20 марта.", date(2027, 3, 20), "до 20 марта"),
        ("ru", "Отправлю 05.12.2026.", date(2026, 12, 5), "05.12.2026"),
    ],
)
def test_a_date_is_read(language: str, text: str, day: date, words: str) -> None:
    due = due_date(text, lexicon(language), HELD_ON)
    assert due is not None
    assert (due.day, due.text) == (day, words)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "We may finish."),
        ("en", "It took two days."),
        ("en", "Send it on February 30."),
        ("ru", "Мы работали две недели."),
        ("ru", "Отправлю 30 февраля."),
        ("ru", "Мы закончили вчера вечером."),
        ("ru", "Версия 1.2 готова."),
    ],
)
def test_no_date_is_invented(language: str, text: str) -> None:
    assert due_date(text, lexicon(language), HELD_ON) is None


def test_the_calendar_ends_without_a_crash() -> None:
    assert due_date("Send it in 999 years.", lexicon("en"), date(9999, 12, 31)) is None


def test_the_week_of_a_weekend_ends_on_sunday() -> None:
    due = due_date("Send it by the end of the week.", lexicon("en"), date(2026, 11, 21))
    assert due is not None
    assert due.day == date(2026, 11, 22)
