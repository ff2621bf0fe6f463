"""Decisions and risks that were put into words; what was only implied is not guessed at."""

from __future__ import annotations

from collections.abc import Sequence

from services.report.analysis.claims import claim_of
from services.report.analysis.lexicon import lexicon
from services.report.analysis.questions import is_question
from services.report.analysis.sentences import Sentence
from services.report.analysis.words import fold
from services.report.document import Claim, Confidence, Origin


def decisions(sentences: Sequence[Sentence]) -> tuple[Claim, ...]:
    """Sentences that say "we decided", "agreed", "let's go with"; those that doubt or deny it are left out."""
    return tuple(
        claim_of("decision", sentence, Origin.RULE, Confidence.MEDIUM)
        for sentence in sentences
        if _says(sentence, "decisions") and not _says(sentence, "undecided") and not is_question(sentence)
    )


def risks(sentences: Sequence[Sentence]) -> tuple[Claim, ...]:
    """Sentences that name a risk, a worry or an obstacle; questions about them are left out."""
    return tuple(
        claim_of("risk", sentence, Origin.RULE, Confidence.LOW if _says(sentence, "hedges") else Confidence.MEDIUM)
        for sentence in sentences
        if _says(sentence, "risks") and not is_question(sentence)
    )


def _says(sentence: Sentence, group: str) -> bool:
    return lexicon(sentence.language).first(group, fold(sentence.text)) is not None
