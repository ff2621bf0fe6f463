"""Runs: a line as pieces of text with the name of their style."""

from collections.abc import Iterable
from typing import TypeAlias

from rich.cells import cell_len

Runs: TypeAlias = list[tuple[str, str]]
"""Text and style name; names are those of `tui.condition.Style`."""


def fit(text: str, width: int, *, right: bool = False, dots: str = "…") -> str:
    """Return `text` on exactly `width` cells, padded or cut; a wide character counts as two."""
    if width <= 0:
        return ""
    length = cell_len(text)
    if length > width:
        text = cut(text, width - cell_len(dots)) + dots
        length = cell_len(text)
    padding = " " * (width - length)
    return padding + text if right else text + padding


def cut(text: str, width: int) -> str:
    """Return the longest beginning of `text` that needs no more than `width` cells."""
    used = 0
    for index, character in enumerate(text):
        used += cell_len(character)
        if used > width:
            return text[:index]
    return text


def wrap(text: str, width: int) -> list[str]:
    """Break a sentence into lines of at most `width` cells, between words where that is possible."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        while cell_len(word) > width > 0:
            if line:
                lines.append(line)
                line = ""
            head = cut(word, width) or word[0]
            lines.append(head)
            word = word[len(head) :]
        if line and cell_len(line) + 1 + cell_len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line and word else line or word
    return [*lines, line] if line else lines


def width_of(runs: Iterable[tuple[str, str]]) -> int:
    """Return the cells that runs take."""
    return sum(cell_len(text) for text, _ in runs)


def apart(left: Runs, right: Runs, width: int) -> Runs:
    """Put two groups of runs at the two ends of a line; the left group gives way."""
    room = width - width_of(right) - 1
    kept: Runs = []
    for text, style in left:
        piece = cut(text, room)
        room -= cell_len(piece)
        kept.append((piece, style))
        if piece != text:
            break
    return [*kept, (" " * (width - width_of(kept) - width_of(right)), "text"), *right]
