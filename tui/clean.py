"""Text from outside, made harmless before anything shows it.

Titles, notes and errors come from people and programs that we do not know. A terminal obeys what it is sent, so no
escape sequence, line break or character that turns text around may reach it.
"""

import unicodedata

MAX_CHARACTERS = 300
MAX_SPOKEN_CHARACTERS = 4000

_ELLIPSIS = "…"
_MAX_MARKS = 2  # combining marks on one character; more pile up over the neighbouring lines
_ZERO_WIDTH = frozenset(map(chr, range(0xFE00, 0xFE10)))  # variation selectors: terminals disagree on the width
_CYRILLIC = dict(
    zip(
        "абвгдезийклмнопрстуфхцыэ" + "ёжчшщъьюя",
        [*"abvgdeziyklmnoprstufhcye", "yo", "zh", "ch", "sh", "sch", "", "", "yu", "ya"],
        strict=True,
    )
)
_PLAIN = {"…": "...", "·": "-", "№": "No", **dict.fromkeys("–—", "-"), **dict.fromkeys("«»“”„", '"'), "’": "'"}


def clean(text: str, *, ascii_only: bool = False, limit: int = MAX_CHARACTERS) -> str:
    """Return one line of printable text, at most `limit` characters long.

    Args:
        text: anything.
        ascii_only: whether to transliterate to ASCII, for terminals without Unicode.
        limit: what people say needs more than a title does.
    """
    if not (text.isascii() and text.isprintable()):
        text = " ".join(_printable(text[: 4 * limit]).split())
        if ascii_only:
            text = _transliterated(text)
    if len(text) <= limit:
        return text
    mark = "..." if ascii_only else _ELLIPSIS
    return text[: limit - len(mark)] + mark


def _printable(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        if category in {"Mn", "Me"}:
            marks += 1
            if marks <= _MAX_MARKS and character not in _ZERO_WIDTH and kept:
                kept.append(character)
            continue
        marks = 0
        if category == "Cf":  # bidi overrides, joiners: no width of their own, so nothing takes their place
            continue
        kept.append(" " if category[0] in "CZ" else character)
    return "".join(kept)


def _transliterated(text: str) -> str:
    return "".join(map(_plain, text))


def _plain(character: str) -> str:
    if character.isascii():
        return character
    if character in _PLAIN:
        return _PLAIN[character]
    small = character.lower()
    if small in _CYRILLIC:
        latin = str(_CYRILLIC[small])
        return latin if character == small else latin.capitalize()
    if unicodedata.category(character) in {"Mn", "Me"}:
        return ""
    bare = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return bare if bare.isprintable() and bare else "?"
