"""How spoken and recognised text are compared: by words, without case, punctuation or the dots of ё."""

from __future__ import annotations

import re

_SEPARATORS = re.compile(r"[^\w']+")


def normalise(text: str) -> str:
    """Return the words of a text, casefolded, ё as е, joined by single blanks."""
    return _SEPARATORS.sub(" ", text.casefold().replace("ё", "е")).strip()
