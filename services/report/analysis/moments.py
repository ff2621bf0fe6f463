"""Key moments: sentences worth reading first, taken as they were said and spread over the meeting. Not a summary."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from services.report.analysis.claims import claim_of
from services.report.analysis.lexicon import lexicon
from services.report.analysis.questions import is_question
from services.report.analysis.sentences import Sentence
from services.report.analysis.words import fold, stem
from services.report.document import Claim, Confidence, Origin

MIN_MOMENTS, MAX_MOMENTS = 3, 10
MINUTES_PER_MOMENT = 5
MIN_WORDS = 5
MIN_CONTENT_WORDS = 2
_SALIENT, _NUMBER, _HESITANT = 0.25, 0.15, 0.1
_TOO_ALIKE = 0.75
_HAS_NUMBER = re.compile(r"\d")

Vector = Mapping[str, float]


def key_moments(sentences: Sequence[Sentence], duration_ms: int) -> tuple[Claim, ...]:
    """The sentences nearest to what the whole meeting was about, in time order.

    Questions, greetings, sentences that point back ("And because of that ...") and near repeats are left out; each
    equal share of the meeting gives at most one.
    """
    vectors = _vectors(sentences)
    centre = _centre(vectors)
    wanted = min(MAX_MOMENTS, max(MIN_MOMENTS, duration_ms // (MINUTES_PER_MOMENT * 60_000)))
    share_ms = max(1, duration_ms) / wanted
    scores = {
        index: _score(sentences[index], vector, centre)
        for index, vector in enumerate(vectors)
        if len(vector) >= MIN_CONTENT_WORDS
        and len(sentences[index].words) >= MIN_WORDS
        and _stands_alone(sentences[index])
    }
    picked: list[int] = []
    for index in sorted(scores, key=lambda index: (-scores[index], index)):
        taken = {int(sentences[other].start_ms / share_ms) for other in picked}
        alike = any(_cosine(vectors[index], vectors[other]) > _TOO_ALIKE for other in picked)
        if not alike and int(sentences[index].start_ms / share_ms) not in taken:
            picked.append(index)
        if len(picked) == wanted:
            break
    return tuple(claim_of("moment", sentences[index], Origin.EXTRACTIVE, Confidence.LOW) for index in sorted(picked))


def _stands_alone(sentence: Sentence) -> bool:
    words, folded = lexicon(sentence.language), fold(sentence.text)
    if is_question(sentence) or "…" in sentence.text or "..." in sentence.text:
        return False
    return words.first("dangling", folded) is None and words.first("backchannels", folded) is None


def _score(sentence: Sentence, vector: Vector, centre: Vector) -> float:
    words, folded = lexicon(sentence.language), fold(sentence.text)
    score = _cosine(vector, centre)
    score += _SALIENT if words.first("salient", folded) else 0.0
    score += (
        _NUMBER if _HAS_NUMBER.search(folded) or any(token.lower in words.numbers for token in sentence.words) else 0.0
    )
    score -= _HESITANT * words.count("fillers", folded)
    return round(score, 9)


def _vectors(sentences: Sequence[Sentence]) -> list[Vector]:
    """TF-IDF per sentence over stems, each of length one."""
    stems = [Counter(_content(sentence)) for sentence in sentences]
    documents = Counter(word for counts in stems for word in counts)
    vectors: list[Vector] = []
    for counts in stems:
        weights = {
            word: (1 + math.log(times)) * math.log(1 + len(stems) / documents[word]) for word, times in counts.items()
        }
        length = math.sqrt(math.fsum(weight * weight for weight in weights.values()))
        vectors.append({word: weight / length for word, weight in weights.items()})
    return vectors


def _content(sentence: Sentence) -> list[str]:
    stopwords, language = lexicon(sentence.language).stopwords, sentence.language
    return [
        stem(token.lower, language) for token in sentence.words if token.lower not in stopwords and len(token.text) > 2
    ]


def _centre(vectors: Sequence[Vector]) -> Vector:
    parts: dict[str, list[float]] = {}
    for vector in vectors:
        for word, weight in vector.items():
            parts.setdefault(word, []).append(weight)
    sums = {word: math.fsum(weights) for word, weights in parts.items()}
    length = math.sqrt(math.fsum(weight * weight for weight in sums.values())) or 1.0
    return {word: weight / length for word, weight in sums.items()}


def _cosine(one: Vector, other: Vector) -> float:
    small, large = sorted((one, other), key=len)
    return math.fsum(weight * large.get(word, 0.0) for word, weight in small.items())
