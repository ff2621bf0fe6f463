"""Claims made from sentences, with identifiers that stay the same as long as the words stay where they are."""

from __future__ import annotations

import hashlib

from services.report.analysis.sentences import Sentence
from services.report.document import Claim, Confidence, Origin


def claim_of(kind: str, sentence: Sentence, origin: Origin, confidence: Confidence, *, within: str = "") -> Claim:
    """A claim that quotes one whole sentence.

    Args:
        kind: what the claim is about, for example "question"; part of its identity.
        sentence: what was said.
        origin: where the claim comes from.
        confidence: how sure the rule is.
        within: identifier of the claim that this one belongs to, for example the question of an answer.
    """
    place = "\n".join((kind, within, sentence.segment.segment_id, str(sentence.char_start)))
    claim_id = hashlib.blake2b(place.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return Claim(claim_id, sentence.text, (sentence.evidence(),), origin, confidence)
