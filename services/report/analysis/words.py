"""Words as the analyser counts them: tokens, stems and the little Russian morphology that the rules ask for."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pymorphy3
import snowballstemmer

_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
_STEMMERS = {"en": "english", "ru": "russian"}
_STEMMING = threading.Lock()
"""The stemmers keep their working state on the object; a rebuild runs in a thread beside the live streams."""


@dataclass(frozen=True, slots=True)
class Token:
    """One word with its place in the text it was cut from."""

    text: str
    start: int
    end: int

    @property
    def lower(self) -> str:
        """The word as the lexicons write it."""
        return fold(self.text)


@dataclass(frozen=True, slots=True)
class Form:
    """What the dictionary says about a Russian word form, most likely reading first."""

    lemma: str
    part: str
    case: str
    person: str
    tense: str
    mood: str
    number: str
    animate: bool
    name: bool


def fold(text: str) -> str:
    """Lower case with a plain apostrophe and е for ё; as long as the text, so that places stay the same."""
    lower = text.lower()
    if len(lower) != len(text):  # a few letters, such as İ, grow
        lower = "".join(small if len(small := letter.lower()) == 1 else letter for letter in text)
    return lower.replace("ё", "е").replace("’", "'")


def tokens(text: str) -> Iterator[Token]:
    """Words of the text in order; punctuation and symbols are skipped."""
    for match in _WORD.finditer(text):
        yield Token(match.group(0), match.start(), match.end())


def count(text: str) -> int:
    """Number of words."""
    return sum(1 for _ in _WORD.finditer(text))


@functools.lru_cache(maxsize=65_536)
def stem(word: str, language: str) -> str:
    """Stem of a folded word; a word of the other script passes through unchanged."""
    with _STEMMING:
        return str(_stemmer(language).stemWord(word))


@functools.cache
def _stemmer(language: str) -> snowballstemmer.stemmer:
    return snowballstemmer.stemmer(_STEMMERS[language])


@functools.cache
def _dictionary() -> pymorphy3.MorphAnalyzer:
    return pymorphy3.MorphAnalyzer()


@functools.lru_cache(maxsize=65_536)
def form(word: str) -> Form:
    """Reading of a Russian word form."""
    reading = _dictionary().parse(word.lower())[0]
    tag = reading.tag
    return Form(
        lemma=fold(reading.normal_form),
        part=str(tag.POS or ""),
        case=str(tag.case or ""),
        person=str(tag.person or ""),
        tense=str(tag.tense or ""),
        mood=str(tag.mood or ""),
        number=str(tag.number or ""),
        animate=tag.animacy == "anim",
        name="Name" in tag or "Surn" in tag,
    )
