"""Commitments and requests: who said they would do what, and who was asked to. Candidates for a person to accept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from services.report.analysis.claims import claim_of
from services.report.analysis.dates import due_date
from services.report.analysis.lexicon import Lexicon, lexicon
from services.report.analysis.questions import is_question
from services.report.analysis.sentences import Sentence
from services.report.analysis.words import fold, form
from services.report.document import ActionItem, ActionKind, Confidence, Origin

_LEVELS = {1: Confidence.LOW, 2: Confidence.MEDIUM, 3: Confidence.HIGH}
_LETS = re.compile(r"\bдавай(?:те)?\b")
_NOT = re.compile(r"\bне\s*$")
_SUBJECT_DISTANCE = 3
"""How many words may stand between a Russian subject and its verb."""


@dataclass(frozen=True, slots=True)
class _Reading:
    kind: ActionKind
    owner: str
    strong: bool


def action_of(sentence: Sentence, people: Mapping[str, str], held_on: date) -> ActionItem | None:
    """The action that a sentence holds, or None.

    Args:
        sentence: what was said.
        people: display name by participant identifier, in order of appearance.
        held_on: day of the meeting; due dates are counted from it.
    """
    words, folded = lexicon(sentence.language), fold(sentence.text)
    if words.first("in_call", folded) or words.first("question_requests", folded) or words.first("decisions", folded):
        return None
    due = due_date(sentence.text, words, held_on)
    reading = next(_readings(sentence, words, folded, people, dated=due is not None), None)
    if reading is None:
        return None
    score = int(reading.strong) + int(due is not None) + int(bool(reading.owner))
    score -= int(words.first("hedges", folded) is not None)
    if score < 1:
        return None
    return ActionItem(
        claim=claim_of("action", sentence, Origin.RULE, _LEVELS[score]),
        kind=reading.kind,
        owner=reading.owner,
        due_date=due.day if due else None,
        due_text=due.text if due else "",
    )


def actions(sentences: Sequence[Sentence], people: Mapping[str, str], held_on: date) -> tuple[ActionItem, ...]:
    """Every action of a transcript, in order."""
    return tuple(item for sentence in sentences if (item := action_of(sentence, people, held_on)))


def _readings(
    sentence: Sentence, words: Lexicon, folded: str, people: Mapping[str, str], *, dated: bool
) -> Iterator[_Reading]:
    """Readings of the sentence, the surest first. A question can only request."""
    asks = is_question(sentence)
    if not asks:
        for cue, match in words.matches("commitments", folded):
            strong = _is_work(match, words)
            if (strong or (dated and not cue.strong)) and (dated or not cue.dated) and _is_verb(match, words):
                yield _Reading(ActionKind.COMMITMENT, sentence.speaker, strong)
        for _, match in words.matches("assignments", folded):
            owner = _owner(match["owner"], words, people)
            if owner and _is_work(match, words):
                yield _Reading(ActionKind.COMMITMENT, owner, strong=True)
    for cue, match in words.matches("requests", folded):
        if not cue.strong or _is_work(match, words):
            yield _Reading(ActionKind.REQUEST, _addressee(sentence, folded, people), strong=True)
    if words.language == "ru" and not asks and not _LETS.search(folded):
        yield from _by_form(sentence, words, folded, people)


def _by_form(sentence: Sentence, words: Lexicon, folded: str, people: Mapping[str, str]) -> Iterator[_Reading]:
    """Russian says it in the verb: "отправлю" is a promise, "отправьте" a request, "инженер проверит" an assignment."""
    said = [(token, form(token.lower)) for token in sentence.words]
    for index, (token, verb) in enumerate(said):
        if verb.lemma not in words.verbs or _NOT.search(folded[: token.start]):
            continue
        if verb.mood == "impr":
            yield _Reading(ActionKind.REQUEST, _addressee(sentence, folded, people), strong=True)
        elif verb.tense == "futr" and verb.person == "1per":
            yield _Reading(ActionKind.COMMITMENT, sentence.speaker, strong=True)
        elif verb.tense == "futr" and verb.person == "3per":
            for subject, noun in said[max(0, index - _SUBJECT_DISTANCE) : index]:
                if noun.case == "nomn" and (owner := _owner(subject.lower, words, people)):
                    yield _Reading(ActionKind.COMMITMENT, owner, strong=True)


def _is_verb(match: re.Match[str], words: Lexicon) -> bool:
    """Any verb will do for a dated promise, but "I will be in the office on Monday" promises no work."""
    return match["verb"] not in words.idle


def _is_work(match: re.Match[str], words: Lexicon) -> bool:
    verb = match["verb"]
    return verb in words.verbs or (words.language == "ru" and form(verb).lemma in words.verbs)


def _owner(said: str, words: Lexicon, people: Mapping[str, str]) -> str:
    """Name of a participant, or the role as it was said; empty for anything that cannot be given work."""
    for name in people.values():
        if any(_same_name(said, part) for part in fold(name).split()):
            return name
    return said if said in words.roles or (words.language == "ru" and form(said).lemma in words.roles) else ""


def _addressee(sentence: Sentence, folded: str, people: Mapping[str, str]) -> str:
    """Who is asked: the participant named in the sentence, or the other one of two."""
    others = [name for identifier, name in people.items() if identifier != sentence.segment.participant_id]
    for name in others:
        if any(_same_name(token.lower, part) for token in sentence.words for part in fold(name).split()):
            return name
    return others[0] if len(others) == 1 and len(people) == 2 else ""


def _same_name(said: str, name: str) -> bool:
    """Names are declined in Russian: "Анне" is Анна, "Борису" is Борис."""
    if said == name:
        return True
    return len(name) > 2 and form(name).name and form(said).lemma == form(name).lemma
