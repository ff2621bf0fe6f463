"""Questions and what was answered to them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.report.analysis.claims import claim_of
from services.report.analysis.lexicon import lexicon
from services.report.analysis.sentences import Sentence
from services.report.analysis.words import fold
from services.report.document import Claim, Confidence, Origin, Question

MIN_WORDS = 2
"""A lone "Right?" asks for nothing."""
ANSWER_SENTENCES = 5
"""How much of an answer is quoted; the transcript holds the rest."""
ANSWER_WITHIN_MS = 60_000
"""An answer begins this soon after its question, or the talk has moved on."""
ASKED_TOGETHER_MS = 5_000
"""Questions of one speaker this close together share their answer; a later one means the first got none."""

_ASKS = re.compile(r"\?[\s\"'»”)]*$")
_ENDS = re.compile(r"[.!…][\s\"'»”)]*$")


def is_question(sentence: Sentence) -> bool:
    """Whether the sentence asks: by its mark; by its first words where it has no mark; or by "tell me about"."""
    if len(sentence.words) < MIN_WORDS:
        return False
    if _ASKS.search(sentence.text):
        return True
    words, folded = lexicon(sentence.language), fold(sentence.text)
    if words.first("question_requests", folded):
        return True
    return not _ENDS.search(sentence.text) and words.first("question_heads", folded) is not None


def question_claim(sentence: Sentence) -> Claim:
    """The question as a claim; sure when it was punctuated as one."""
    marked = _ASKS.search(sentence.text)
    return claim_of("question", sentence, Origin.RULE, Confidence.HIGH if marked else Confidence.MEDIUM)


def questions(sentences: Sequence[Sentence]) -> tuple[Question, ...]:
    """Every question of a transcript, in order, with the answer that followed.

    Args:
        sentences: all sentences in time order.
    """
    found = []
    for index, sentence in enumerate(sentences):
        if not is_question(sentence):
            continue
        question, reply = question_claim(sentence), _reply(sentences, index)
        found.append(
            Question(
                question=question,
                asked_by=sentence.speaker,
                answered_by=reply[0].speaker if reply else "",
                answer=tuple(
                    claim_of("answer", said, Origin.EXTRACTIVE, Confidence.MEDIUM, within=question.claim_id)
                    for said in reply
                ),
            )
        )
    return tuple(found)


def _reply(sentences: Sequence[Sentence], index: int) -> list[Sentence]:
    """What the first other speaker said until somebody else spoke; questions in return are no answer."""
    asked, reply = sentences[index], list[Sentence]()
    asker = asked.segment.participant_id
    for said in sentences[index + 1 :]:
        who = said.segment.participant_id
        if reply and who != reply[0].segment.participant_id:
            if _is_murmur(said):
                continue
            break
        if not reply and said.start_ms - asked.end_ms > ANSWER_WITHIN_MS:
            break
        if who == asker and is_question(said) and said.start_ms - asked.end_ms > ASKED_TOGETHER_MS:
            break
        if who == asker or is_question(said) or _is_hesitation(said):
            continue
        reply.append(said)
        if len(reply) == ANSWER_SENTENCES:
            break
    return reply


def _is_murmur(said: Sentence) -> bool:
    """ "Okay", "I see": the speaker before goes on."""
    return lexicon(said.language).first("backchannels", fold(said.text)) is not None


def _is_hesitation(said: Sentence) -> bool:
    """Nothing but fillers."""
    left = fold(said.text)
    for cue in lexicon(said.language).cues["fillers"]:
        left = cue.pattern.sub(" ", left)
    return not any(letter.isalnum() for letter in left)
