"""A short interview to build reports from, in either language."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

from services.report.document import ParticipantCoverage
from services.report.transcript import Segment, Transcript

HELD_ON = date(2026, 11, 18)
"""A Wednesday."""
NOW = datetime(2026, 11, 18, 12, 30, tzinfo=UTC)
STEP_MS, SPOKEN_MS = 4_000, 3_000

ENGLISH = (
    ("Ann", "Hello and thank you for the meeting."),
    ("Ann", "What was the hard problem?"),
    ("Ben", "The problem was the database. We changed the database service in three weeks."),
    ("Ann", "Can you review the budget on Monday?"),
    ("Ben", "Yes we can review it on Monday."),
    ("Ben", "I will send the report tomorrow."),
    ("Ben", "We need three more weeks for the database."),
    ("Ben", "The engineer will test the service in two days."),
    ("Ann", "Who will fix the budget?"),
)
RUSSIAN = (
    ("Анна", "Здравствуйте, спасибо за встречу."),
    ("Анна", "Почему вы выбрали питон а не докер?"),
    ("Борис", "Питон был хороший сервис. Мы изменили сервис за три недели."),
    ("Анна", "Можно проверить отчёт сегодня?"),
    ("Борис", "Да мы можем закончить его завтра."),
    ("Борис", "Я отправлю отчёт завтра."),
    ("Борис", "Нам нужно ещё три недели на отчёт."),
    ("Борис", "Инженер проверит сервис через два дня."),
    ("Анна", "Кто должен исправить бюджет?"),
)


def segments(said: Sequence[tuple[str, str]]) -> tuple[Segment, ...]:
    """One segment per line: 3 s of speech every 4 s; the participant's identifier is the name in lower case."""
    return tuple(
        Segment(
            segment_id=f"s{index}",
            participant_id=who.lower(),
            speaker=who,
            start_ms=index * STEP_MS,
            end_ms=index * STEP_MS + SPOKEN_MS,
            text=text,
            ordinal=index + 1,
        )
        for index, (who, text) in enumerate(said)
    )


def transcript(said: Sequence[tuple[str, str]], coverage: tuple[ParticipantCoverage, ...] = ()) -> Transcript:
    """The transcript of a meeting of 40 s."""
    return Transcript("m1", 1, segments(said), HELD_ON, title="Interview", length_ms=40_000, coverage=coverage)
