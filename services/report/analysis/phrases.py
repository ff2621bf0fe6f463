"""Key phrases: what was talked about, as runs of words that carry meaning, with the places where they were said."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from services.report.analysis.lexicon import lexicon
from services.report.analysis.sentences import Sentence
from services.report.analysis.words import Token, fold, form, stem
from services.report.document import Evidence, KeyPhrase

MAX_PHRASES = 12
MAX_WORDS = 3
MAX_PLACES = 10
"""Places quoted per phrase; the count tells how often it was said."""

_BREAK = re.compile(r"[,.;:!?…«»\"“”()\[\]\n]")
_ENGLISH_FORM = re.compile(r"...(?:ed|ly)$")
_WEIGHT = {1: 1.0, 2: 1.7, 3: 2.0}
"""A longer phrase says more."""
_GENITIVE_LIKE = ("gent", "ablt", "datv", "")


@dataclass(slots=True)
class _Use:
    forms: Counter[str] = field(default_factory=Counter)
    places: list[Evidence] = field(default_factory=list)
    segments: set[str] = field(default_factory=set)


def key_phrases(sentences: Sequence[Sentence]) -> tuple[KeyPhrase, ...]:
    """The phrases said at least twice that weigh most; a part of a longer one is not repeated."""
    uses: dict[tuple[str, ...], _Use] = {}
    names = {part for sentence in sentences for part in _name_keys(sentence)}
    for sentence in sentences:
        for run in _runs(sentence):
            for key, words in _candidates(run, sentence.language):
                if names.isdisjoint(key):
                    _count(uses.setdefault(key, _Use()), sentence, words)
    weights = {key: _weight(key, use) for key, use in uses.items() if sum(use.forms.values()) >= 2}
    chosen: list[tuple[str, ...]] = []
    for key in sorted(weights, key=lambda key: (-weights[key], key)):
        if not any(set(key) <= set(other) or set(other) <= set(key) for other in chosen):
            chosen.append(key)
        if len(chosen) == MAX_PHRASES:
            break
    return tuple(_phrase(uses[key]) for key in chosen)


def _runs(sentence: Sentence) -> Iterator[list[Token]]:
    """Words between stop words and punctuation."""
    run: list[Token] = []
    end = 0
    for token in sentence.words:
        if run and (_BREAK.search(sentence.text[end : token.start]) or _is_stop(token.lower, sentence.language)):
            yield run
            run = []
        if not _is_stop(token.lower, sentence.language):
            run.append(token)
        end = token.end
    if run:
        yield run


def _is_stop(word: str, language: str) -> bool:
    words = lexicon(language)
    if word in words.stopwords or word in words.numbers or word in words.weekdays or word in words.units:
        return True
    if language == "ru":
        lemma = form(word).lemma
        return lemma in words.stopwords or lemma in words.verbs or form(word).part in ("VERB", "INFN", "ADVB", "NPRO")
    return bool(_ENGLISH_FORM.search(word))


def _candidates(run: Sequence[Token], language: str) -> Iterator[tuple[tuple[str, ...], Sequence[Token]]]:
    for size in range(1, MAX_WORDS + 1):
        for first in range(len(run) - size + 1):
            words = run[first : first + size]
            if language == "ru" and not _is_noun_phrase(words):
                continue
            if size == 1 and (len(words[0].text) < 3 or words[0].text.isdigit()):
                continue
            yield tuple(_key(word.lower, language) for word in words), words


def _is_noun_phrase(words: Sequence[Token]) -> bool:
    """Adjectives, then a noun, then at most nouns that hang on it ("отдел продаж"); foreign words pass as nouns."""
    forms = [form(word.lower) for word in words]
    parts = [
        "NOUN" if not re.search("[а-я]", word.lower) else said.part for word, said in zip(words, forms, strict=True)
    ]
    if parts[-1] != "NOUN" or any(part not in ("NOUN", "ADJF") for part in parts):
        return False
    nouns = [index for index, part in enumerate(parts) if part == "NOUN"]
    if any(part == "ADJF" for part in parts[nouns[0] :]):
        return False
    return all(forms[index].case in _GENITIVE_LIKE for index in nouns[1:])


def _key(word: str, language: str) -> str:
    return form(word).lemma if language == "ru" and re.search("[а-я]", word) else stem(word, "en")


def _count(use: _Use, sentence: Sentence, words: Sequence[Token]) -> None:
    start, end = words[0].start, words[-1].end
    use.forms[sentence.text[start:end].lower() if words[0].text[1:].islower() else sentence.text[start:end]] += 1
    use.segments.add(sentence.segment.segment_id)
    if len(use.places) < MAX_PLACES:
        use.places.append(sentence.evidence(start, end))


def _weight(key: tuple[str, ...], use: _Use) -> float:
    return round(sum(use.forms.values()) * _WEIGHT[len(key)] * math.log(1 + len(use.segments)), 6)


def _phrase(use: _Use) -> KeyPhrase:
    shown = min(use.forms, key=lambda text: (-use.forms[text], len(text), text))
    return KeyPhrase(shown, sum(use.forms.values()), tuple(use.places))


def _name_keys(sentence: Sentence) -> Iterator[str]:
    """A participant's name marks no subject."""
    for part in fold(sentence.speaker).split():
        yield _key(part, sentence.language)
