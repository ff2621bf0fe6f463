"""Lexicons: the words and patterns of one language, read from `lexicons/<language>.toml`.

Every cue carries a sentence that it must hit and a near miss that it must not; the tests hold it to both.
Patterns are matched against folded text (lower case, ё as е, plain apostrophes); `{name}` stands for a list.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import stopwordsiso

from services.report.analysis.words import fold

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Cue:
    """One pattern with its proof."""

    pattern: re.Pattern[str]
    hit: str
    miss: str
    strong: bool = False
    """The named group `verb` has to be one of the lexicon's verbs of work."""
    dated: bool = False
    """The sentence has to name a date."""
    removable: bool = False
    """A filler that may be cut from the clean transcript without changing what was said."""
    kind: str = ""
    """Which rule reads the match; used by dates."""
    offset: int = 0
    """Days from the meeting; used by dates."""

    def search(self, folded: str) -> re.Match[str] | None:
        """First match in a folded text."""
        return self.pattern.search(folded)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Everything the rules know about one language."""

    language: str
    verbs: frozenset[str]
    """Verbs of work, as dictionary forms."""
    idle: frozenset[str]
    """Words after "I will" that promise no work."""
    emphatic: frozenset[str]
    """Words that are doubled on purpose."""
    roles: frozenset[str]
    """Words for people and groups who can be given work."""
    stopwords: frozenset[str]
    numbers: Mapping[str, int]
    weekdays: Mapping[str, int]
    """0 is Monday."""
    months: Mapping[str, int]
    units: Mapping[str, str]
    """Word form to "day", "week", "month", "quarter" or "year"."""
    cues: Mapping[str, tuple[Cue, ...]]

    def first(self, group: str, folded: str) -> re.Match[str] | None:
        """First match of the group's cues, in the order of the file."""
        return next((match for cue in self.cues[group] if (match := cue.search(folded))), None)

    def matches(self, group: str, folded: str) -> Iterator[tuple[Cue, re.Match[str]]]:
        """The first match of every cue of the group."""
        for cue in self.cues[group]:
            if match := cue.search(folded):
                yield cue, match

    def count(self, group: str, folded: str) -> int:
        """How many times the group's cues occur."""
        return sum(sum(1 for _ in cue.pattern.finditer(folded)) for cue in self.cues[group])


GROUPS = (
    "fillers",
    "backchannels",
    "question_heads",
    "question_requests",
    "commitments",
    "assignments",
    "requests",
    "hedges",
    "in_call",
    "decisions",
    "undecided",
    "risks",
    "dangling",
    "salient",
    "dates",
)


@functools.cache
def lexicon(language: str) -> Lexicon:
    """The lexicon of a language, "en" or "ru"; read once.

    Raises:
        LookupError: no such language, or the file lacks a group or holds one that nobody reads.
    """
    source = resources.files("services.report") / "lexicons" / f"{language}.toml"
    if not source.is_file():
        raise LookupError(f"no lexicon for {language!r}")
    data = tomllib.loads(source.read_text("utf-8"))
    words, cues = data["words"], data["cues"]
    if set(cues) != set(GROUPS):
        raise LookupError(f"lexicon {language!r}: groups {sorted(set(cues) ^ set(GROUPS))} are missing or unknown")
    weekdays, months, units = _indexed(words["weekdays"], 0), _indexed(words["months"], 1), _keyed(words["units"])
    lists = {
        "numbers": words["numbers"],
        "weekdays": weekdays,
        "months": months,
        "units": units,
        "adverbs": words["adverbs"],
    }
    return Lexicon(
        language=language,
        verbs=frozenset(map(fold, words["verbs"])),
        idle=frozenset(map(fold, words["idle"])),
        emphatic=frozenset(map(fold, words["emphatic"])),
        roles=frozenset(map(fold, words["roles"])),
        stopwords=frozenset(map(fold, stopwordsiso.stopwords(language))) | frozenset(map(fold, words["stopwords"])),
        numbers=words["numbers"],
        weekdays=weekdays,
        months=months,
        units=units,
        cues={group: tuple(_cue(entry, lists) for entry in cues[group]) for group in GROUPS},
    )


def _indexed(forms: list[list[str]], first: int) -> dict[str, int]:
    return {form: index for index, same in enumerate(forms, first) for form in same}


def _keyed(forms: dict[str, list[str]]) -> dict[str, str]:
    return {form: key for key, same in forms.items() for form in same}


def _cue(entry: dict[str, Any], lists: Mapping[str, Iterable[str]]) -> Cue:
    def alternatives(match: re.Match[str]) -> str:
        return "|".join(re.escape(word) for word in sorted(lists[match[1]], key=lambda word: (-len(word), word)))

    return Cue(**{**entry, "pattern": re.compile(_PLACEHOLDER.sub(alternatives, entry["pattern"]))})
