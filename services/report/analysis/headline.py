"""The headline: one line of facts about a meeting, true whatever was said."""

from __future__ import annotations

from collections.abc import Sequence

from services.report.document import ActionItem, ActionKind, TalkStatistics
from services.report.wording import Wording, percent


def headline(talk: TalkStatistics, actions: Sequence[ActionItem], decisions: int, words: Wording) -> str:
    """For example "2 min 31 s, 2 speakers, Ben spoke 59 %, 12 questions, 3 commitments"; zero counts are left out."""
    facts = [words.length(talk.duration_ms)]
    if not talk.speakers:
        return ", ".join([*facts, words.label("nobody_spoke")])
    facts.append(words.counted("speakers", len(talk.speakers)))
    most = max(talk.speakers, key=lambda speaker: speaker.talk_ms)
    if len(talk.speakers) > 1 and most.talk_ms:
        facts.append(words.label("spoke", name=most.speaker, percent=percent(most.talk_ratio)))
    kinds = [action.kind for action in actions]
    for key, number in (
        ("questions", sum(speaker.questions for speaker in talk.speakers)),
        ("commitments", kinds.count(ActionKind.COMMITMENT)),
        ("requests", kinds.count(ActionKind.REQUEST)),
        ("decisions", decisions),
    ):
        if number:
            facts.append(words.counted(key, number))
    return ", ".join(facts)
