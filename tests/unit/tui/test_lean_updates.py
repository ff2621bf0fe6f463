"""What changed cells cost the terminal, and that it shows the same as with Textual's own way."""

import random
import re
from io import StringIO

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate
from textual.strip import Strip

from tui import lean_updates

WIDTH, LINES = 40, 6
STYLES = [
    Style.parse(text)
    for text in ("#d6dee6 on #12181f", "bold #ff0000 on #12181f", "#a0a2a5 on #253140", "red", "on blue", "none")
]
WORDS = ("LIVE", "  ", "会議", "1,204", "━━──", "é", "Board prep")
_SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([^\x1b])")


def test_this_textual_is_known():
    """Another Textual: read `lean_updates` again, adopt its method or drop ours, and measure with bench.console."""
    original = ChopsUpdate.render_segments
    try:
        assert lean_updates.send_lean_updates()
        assert lean_updates.send_lean_updates(), "twice is as good as once"
    finally:
        ChopsUpdate.render_segments = original  # type: ignore[method-assign]


def test_the_terminal_shows_the_same_for_fewer_bytes():
    chance = random.Random(5)
    console = Console(file=StringIO(), force_terminal=True, color_system="truecolor", width=WIDTH)
    ours = theirs = 0
    for _ in range(60):
        before = [line(chance) for _ in range(LINES)]
        after = [line(chance) if chance.random() < 0.7 else strip for strip in before]
        cuts = [whole(strip, chance.choice((0, 15))) for strip in after]  # two widgets may stand side by side
        spans = [(y, *span) for y in range(LINES) for span in spans_of(before[y], after[y], chance)]
        if not spans:
            continue
        update = ChopsUpdate(list(map(pieces, after, cuts)), spans, list(map(ends, cuts)))
        shown = [cells(strip) for strip in before]
        expected = [row.copy() for row in shown]
        obey(ChopsUpdate.render_segments(update, console), expected)
        sent = lean_updates.changed_cells(update, console)
        obey(sent, shown)
        assert shown == expected == list(map(cells, after))
        ours += len(sent)
        theirs += len(ChopsUpdate.render_segments(update, console))
    assert ours < 0.8 * theirs


def line(chance: random.Random) -> Strip:
    """Return a line of words in many styles."""
    segments = [Segment(chance.choice(WORDS), chance.choice(STYLES)) for _ in range(12)]
    return Strip(segments).adjust_cell_length(WIDTH, STYLES[0])


def cells(strip: Strip) -> list[tuple[str, str]]:
    """Return what stands in each cell, and the codes of its style."""
    found: list[tuple[str, str]] = []
    for text, style, _ in strip:
        codes = frozen(Strip.render_ansi(style, Console(color_system="truecolor")._color_system)) if style else ""
        for character in text:
            found += [(character, codes)] + [("", codes)] * (Segment(character).cell_length - 1)
    return found


def spans_of(before: Strip, after: Strip, chance: random.Random) -> list[tuple[int, int]]:
    """Return a span that holds everything in which two lines differ, with whole characters, and more at random."""
    old, new = cells(before), cells(after)
    differing = [at for at in range(WIDTH) if old[at] != new[at]]
    if not differing:
        return []
    start, end = max(0, differing[0] - chance.randrange(3)), min(WIDTH, differing[-1] + 1 + chance.randrange(3))
    while start and not new[start][0]:
        start -= 1
    while end < WIDTH and not new[end][0]:
        end += 1
    return [(start, end)]


def pieces(strip: Strip, cut: int) -> dict[int, Strip | None]:
    """Return a line as the compositor has it: a piece for each widget, by its place."""
    return {0: strip.crop(0, cut), cut: strip.crop(cut)} if cut else {0: strip}


def ends(cut: int) -> list[int]:
    """Return where the pieces end."""
    return [cut, WIDTH] if cut else [WIDTH]


def whole(strip: Strip, cut: int) -> int:
    """Return a cut that halves no character, or none."""
    return cut if cells(strip)[cut][0] else 0


def obey(sent: str, shown: list[list[tuple[str, str]]]) -> None:
    """Do to a screen what a terminal does."""
    x = y = 0
    codes = ""
    for numbers, letter, character in _SEQUENCE.findall(sent):
        if letter == "H":
            y, x = (int(number) - 1 for number in numbers.split(";"))
        elif letter == "G":
            x = int(numbers) - 1
        elif letter == "m":
            codes = merged(codes, numbers)
        elif character not in "\r\n":
            width = Segment(character).cell_length
            shown[y][x : x + width] = [(character, codes)] + [("", codes)] * (width - 1)
            x += width


def merged(codes: str, numbers: str) -> str:
    """Return the style of a terminal after SGR codes."""
    if numbers.startswith("0"):
        codes, numbers = "", numbers[2:]
    attributes, text, under = (new or old for old, new in zip(parts(codes), parts(numbers), strict=True))
    return ";".join(part for part in (attributes, text, under) if part)


def parts(codes: str) -> tuple[str, str, str]:
    """Split SGR codes: attributes, colour of the text, colour under it."""
    found = re.findall(r"(?:[34]8;2;\d+;\d+;\d+)|\d+", codes)
    text = [code for code in found if code.startswith("38;") or code in {"31", "91"}]
    under = [code for code in found if code.startswith("48;") or code in {"44", "104"}]
    return ";".join(code for code in found if code not in text + under), ";".join(text), ";".join(under)


def frozen(codes: str) -> str:
    """Return codes in the order of `merged`."""
    return merged("", codes)
