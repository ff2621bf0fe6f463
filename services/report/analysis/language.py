"""Language of a text, by its script: the analyser knows English and Russian, which share no letters."""

from __future__ import annotations

import re
from collections.abc import Iterable

LANGUAGES = ("en", "ru")
_CYRILLIC = re.compile(r"[Ѐ-ӿ]")
_LATIN = re.compile(r"[A-Za-z]")
_CYRILLIC_SHARE = 0.6
"""Russian speech about software is full of Latin names; it takes this many Cyrillic letters per Latin one."""


def language_of(text: str, default: str) -> str:
    """Language of one text, "en" or "ru"; the default when it has no letters."""
    cyrillic, latin = len(_CYRILLIC.findall(text)), len(_LATIN.findall(text))
    if not cyrillic and not latin:
        return default
    return "ru" if cyrillic > latin * _CYRILLIC_SHARE else "en"


def main_language(texts: Iterable[str], asked: str) -> str:
    """Language of a meeting: what was said decides; what was asked for stands in while nothing was."""
    return language_of("\n".join(texts), asked if asked in LANGUAGES else "en")
