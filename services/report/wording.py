"""The report's own words: labels, units and sentences of one language, read from `wordings/<language>.toml`."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Wording:
    """Labels by key, and counted nouns by key with one form per plural."""

    labels: Mapping[str, str]
    counts: Mapping[str, Sequence[str]]

    def label(self, key: str, **values: object) -> str:
        """A label, with values in its places."""
        return self.labels[key].format(**values)

    def counted(self, key: str, number: int) -> str:
        """A number with its noun, for example "12 questions" or "12 вопросов"."""
        return f"{number} {self.counts[key][_plural(number, len(self.counts[key]))]}"

    def length(self, milliseconds: int) -> str:
        """A length of time in whole seconds, for example "2 min 31 s"."""
        minutes, seconds = divmod((milliseconds + 500) // 1000, 60)
        hours, minutes = divmod(minutes, 60)
        parts = [(hours, "hour"), (minutes, "minute"), (seconds, "second")]
        shown = [f"{value} {self.labels[unit]}" for value, unit in parts if value]
        return " ".join(shown) or f"0 {self.labels['second']}"


@functools.cache
def wording(language: str) -> Wording:
    """The words of a language, "en" or "ru"; read once."""
    source = resources.files("services.report") / "wordings" / f"{language}.toml"
    data = tomllib.loads(source.read_text("utf-8"))
    return Wording(data["labels"], data["counts"])


def percent(share: float) -> int:
    """A share in [0, 1] as whole percent, halves up."""
    return int(share * 100 + 0.5)


def percents(amounts: Sequence[int]) -> list[int]:
    """Whole percents that add up to 100 (largest remainders first); all zero if nothing is shared out."""
    total = sum(amounts)
    if not total:
        return [0] * len(amounts)
    whole = [amount * 100 // total for amount in amounts]
    by_remainder = sorted(range(len(amounts)), key=lambda index: (-(amounts[index] * 100 % total), index))
    for index in by_remainder[: 100 - sum(whole)]:
        whole[index] += 1
    return whole


def _plural(number: int, forms: int) -> int:
    """Index of the form: two forms as in English, three as in Russian (1, 2 to 4, 5 and more)."""
    if forms == 2:
        return int(number != 1)
    if number % 10 == 1 and number % 100 != 11:
        return 0
    return 1 if number % 10 in (2, 3, 4) and number % 100 not in (12, 13, 14) else 2
