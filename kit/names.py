"""Names of people as they are shown: whoever typed them, they are one line of visible text."""

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_JOINERS = frozenset("\u200c\u200d")
"""Invisible, and still part of how names are spelt in Persian, Hindi and others, and of emoji."""
_BLANKS = frozenset({"\u115f", "\u1160", "\u2800", "\u3164", "\uffa0"})
"""Letters by class, and nothing to see."""


def shown_name(text: str, *, most: int = 64) -> str:
    """Return a name without controls, direction marks and needless space; empty if nothing is left to see.

    Args:
        text: as somebody gave it; markup stays as it is, because whoever shows a name shows it as text.
        most: characters that are kept.
    """
    visible = "".join(_visible(letter) for letter in unicodedata.normalize("NFC", text))
    name = " ".join(visible.split())[:most].strip()
    return name if any(letter not in _JOINERS and not unicodedata.combining(letter) for letter in name) else ""


def told_apart(name: str, taken: frozenset[str], *, most: int = 64) -> str:
    """Return `name`, or "name (2)" and so on if it is among the `taken`, however it is capitalised."""
    known = {other.casefold() for other in taken}
    shown, number = name, 1
    while shown.casefold() in known:
        number += 1
        ending = f" ({number})"
        shown = name[: most - len(ending)].rstrip() + ending
    return shown


def _visible(letter: str) -> str:
    if letter in _JOINERS:
        return letter
    if letter.isspace() or letter in _BLANKS:
        return " "
    return "" if unicodedata.category(letter) in _HIDDEN else letter
