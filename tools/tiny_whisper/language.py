"""A language of the demonstration model: its words and the sentences made of them, as `languages/CODE.toml` says."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

from pydantic import BaseModel, ConfigDict

CODES = ("en", "ru")
FOLDER = Path(__file__).parent / "languages"

_CLASS = re.compile(r"\{(\w+)\}")
_WORD = re.compile(r"[^\W\d_]+")
_SHUFFLED_WORDS = (2, 7)


class Sentences(BaseModel):
    """Patterns, each with its final mark."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    said: tuple[str, ...]
    asked: tuple[str, ...]


class Language(BaseModel):
    """A closed vocabulary and a grammar over it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    """ISO 639-1."""
    classes: dict[str, tuple[str, ...]]
    sentences: Sentences

    @property
    def patterns(self) -> tuple[str, ...]:
        """All sentences, words left open as `{class}`."""
        return self.sentences.said + self.sentences.asked

    @property
    def words(self) -> tuple[str, ...]:
        """Every word once, sorted, as it stands inside a sentence."""
        spoken = {word for pattern in self.patterns for word in _WORD.findall(_CLASS.sub(" ", pattern))}
        return tuple(sorted(spoken.union(*self.classes.values())))

    def sentence(self, draw: Random) -> str:
        """Return a sentence that makes sense, cased and punctuated."""
        return _begin(self._filled(draw.choice(self.patterns), draw))

    def shuffle(self, draw: Random) -> str:
        """Return words in any order, so that nothing but listening tells which they are."""
        words = draw.choices(self.words, k=draw.randint(*_SHUFFLED_WORDS))
        return _begin(" ".join(words) + draw.choice("..?"))

    def spelled(self, sentence: str) -> str:
        """Return a sentence with its words as the model writes them: names of tools and days are small."""
        known = {word.lower(): word for word in self.words}
        return _begin(_WORD.sub(lambda match: known.get(match[0].lower(), match[0]), sentence))

    def covers(self, sentence: str) -> bool:
        """Say whether a pattern gives this sentence; case and punctuation aside."""
        said = _spoken(sentence)
        return any(re.fullmatch(expression, said) for expression in self._expressions())

    def _filled(self, pattern: str, draw: Random) -> str:
        used: set[str] = set()

        def fill(match: re.Match[str]) -> str:
            word = draw.choice([word for word in self.classes[match[1]] if word not in used])
            used.add(word)
            return word

        return _CLASS.sub(fill, pattern)

    def _expressions(self) -> Iterator[str]:
        for pattern in self.patterns:
            yield _CLASS.sub(lambda match: f"({'|'.join(self.classes[match[1]])})", _spoken(pattern))


@cache
def load_language(code: str) -> Language:
    """Read one of `CODES`."""
    with (FOLDER / f"{code}.toml").open("rb") as file:
        return Language(code=code, **tomllib.load(file))


def _spoken(text: str) -> str:
    return " ".join(re.sub(r"[.,?]", " ", text.lower()).split())


def _begin(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
