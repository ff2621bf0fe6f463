"""Live insights: what a running meeting's finals hold, as soon as each of them is settled."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from services.report.analysis.actions import action_of
from services.report.analysis.language import main_language
from services.report.analysis.questions import is_question, question_claim
from services.report.analysis.sentences import sentences_of
from services.report.analysis.statistics import talk_statistics
from services.report.document import ActionItem, Claim, TalkStatistics
from services.report.transcript import Segment


@dataclass(frozen=True, slots=True)
class Found:
    """What one final holds; each claim has the identifier that the report will give it."""

    questions: tuple[Claim, ...] = ()
    actions: tuple[ActionItem, ...] = ()


class LiveMeeting:
    """The finals of a running meeting so far; a final that comes again changes nothing."""

    def __init__(self, held_on: date, language: str, roster: Iterable[tuple[str, str]] = ()) -> None:
        """Start without finals.

        Args:
            held_on: day of the meeting; due dates are counted from it.
            language: ISO 639-1 code asked for, or empty.
            roster: participant identifier and display name of those who are known already.
        """
        self._held_on = held_on
        self._language = language
        self._people = dict(roster)
        self._segments: list[Segment] = []
        self._known: set[str] = set()
        self._askers: list[str] = []
        self.last_ordinal = 0

    def add(self, segment: Segment) -> Found:
        """Take a final and return what it holds; nothing if it was there already."""
        if segment.segment_id in self._known:
            return Found()
        self._known.add(segment.segment_id)
        self.last_ordinal = max(self.last_ordinal, segment.ordinal)
        if not segment.text.strip():
            return Found()
        self._people[segment.participant_id] = segment.speaker
        insort(self._segments, segment, key=lambda one: (one.start_ms, one.ordinal))
        said = sentences_of(segment, main_language([segment.text], self._language))
        asked = [sentence for sentence in said if is_question(sentence)]
        self._askers += [segment.participant_id] * len(asked)
        actions = (action_of(sentence, self._people, self._held_on) for sentence in said)
        return Found(
            questions=tuple(question_claim(sentence) for sentence in asked),
            actions=tuple(action for action in actions if action is not None),
        )

    def talk(self) -> TalkStatistics:
        """Who spoke how much, up to the end of the last final."""
        duration_ms = max((segment.end_ms for segment in self._segments), default=0)
        return talk_statistics(self._segments, duration_ms, self._askers)
