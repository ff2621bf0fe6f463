"""What a terminal is sent when cells change: those cells alone, and a style only where it is not yet set.

Textual 8.2.8 sends a line from its widget's left edge up to the last cell that changed, and sets and unsets the whole
style for each piece of it: over SSH, twenty times the bytes. The method that is replaced belongs to Textual alone, so
it is replaced only where its source is the one that this was written against. With any other Textual the console sends
more, and shows the same.
"""

import hashlib
import inspect
from functools import lru_cache

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from textual._compositor import ChopsUpdate
from textual.strip import Strip

KNOWN = frozenset({"4c1cdb567e0b8354"})
"""Beginnings of the SHA-256 of `ChopsUpdate.render_segments`: Textual 8.2.8."""

_PLAIN = "\x1b[0m"


def send_lean_updates() -> bool:
    """Send only what changed from now on; returns whether this Textual is known."""
    original = ChopsUpdate.render_segments
    if original is changed_cells:
        return True
    try:
        source = inspect.getsource(original)
    except (OSError, TypeError):  # installed without its sources
        return False
    if hashlib.sha256(source.encode()).hexdigest()[:16] not in KNOWN:
        return False
    ChopsUpdate.render_segments = changed_cells  # type: ignore[method-assign, assignment]
    return True


def changed_cells(update: ChopsUpdate, console: Console) -> str:
    """Return what shows the changed spans of an update on a terminal, and nothing beside them."""
    colours = console._color_system or ColorSystem.TRUECOLOR
    sent: list[str] = []
    set_now, line = "", -1
    for y, start, end in update.spans:
        for piece_end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is None or x >= end or piece_end <= start:
                continue
            left, right = max(0, start - x), min(piece_end, end) - x
            if left or right < piece_end - x:
                strip = strip.crop(left, right)
            # Columns are absolute within a line too: terminals disagree on how wide some characters are.
            sent.append(f"\x1b[{x + left + 1}G" if y == line else f"\x1b[{y + 1};{x + left + 1}H")
            line = y
            set_now = _draw(strip, colours, set_now, sent)
    if set_now:
        sent.append(_PLAIN)
    return "".join(sent)


def _draw(strip: Strip, colours: ColorSystem, set_now: str, sent: list[str]) -> str:
    """Add what draws a strip where the cursor is; returns the codes of the style that is set afterwards."""
    for text, style, _ in strip:
        if style is not None and style.link:
            sent += [_PLAIN, Strip.render_style(style, text, colours)]
            set_now = ""
            continue
        wanted = _codes(style, colours) if style is not None else ""
        if wanted != set_now:
            sent.append(_change(set_now, wanted))
            set_now = wanted
        sent.append(text)
    return set_now


def _codes(style: Style, colours: ColorSystem) -> str:
    return style._ansi if style._ansi is not None else Strip.render_ansi(style, colours)


@lru_cache(maxsize=4096)
def _change(old: str, new: str) -> str:
    """Return the sequence that turns one style into another; both are lists of SGR codes."""
    if not new:
        return _PLAIN
    before, after = _parts(old), _parts(new)
    if old and before[0] == after[0] and all(b or not a for b, a in zip(after[1:], before[1:], strict=True)):
        return f"\x1b[{';'.join(code for was, code in zip(before[1:], after[1:], strict=True) if code != was)}m"
    return f"\x1b[0;{new}m" if old else f"\x1b[{new}m"


def _parts(codes: str) -> tuple[str, str, str]:
    """Split SGR codes into attributes, the colour of the text and the colour under it."""
    attributes: list[str] = []
    text = under = ""
    rest = codes.split(";") if codes else []
    while rest:
        code = rest[0]
        size = 1
        if code in {"38", "48"}:
            size = 5 if rest[1] == "2" else 3
        piece = ";".join(rest[:size])
        number = int(code)
        if 30 <= number <= 39 or 90 <= number <= 97:
            text = piece
        elif 40 <= number <= 49 or 100 <= number <= 107:
            under = piece
        else:
            attributes.append(piece)
        rest = rest[size:]
    return ";".join(attributes), text, under
