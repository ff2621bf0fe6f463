"""The characters to draw with. Every state has a glyph and a word: colour is never the only signal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set. All are one cell wide; `spark` rises from low to high."""

    ok: str
    warn: str
    error: str
    stalled: str
    idle: str
    again: str
    half: str
    bar: str
    separator: str
    dots: str
    filled: str
    empty: str
    middle: str
    none: str
    marked: str
    spark: str
    border: Literal["round", "ascii"]

    @property
    def is_ascii(self) -> bool:
        """Whether this set is for terminals without Unicode."""
        return self.border == "ascii"


UNICODE = Glyphs(
    ok="●",
    warn="▲",
    error="✖",
    stalled="■",
    idle="○",
    again="↻",
    half="◐",
    bar="▎",
    separator="│",
    dots="…",
    filled="━",
    empty="─",
    middle="·",
    none="–",
    marked="✓",
    spark="▁▂▃▄▅▆▇█",
    border="round",
)
ASCII = Glyphs(
    ok="*",
    warn="!",
    error="X",
    stalled="#",
    idle="o",
    again="~",
    half="%",
    bar="|",
    separator="|",
    dots="~",
    filled="=",
    empty="-",
    middle="-",
    none="-",
    marked="+",
    spark="_.-=+*#@",
    border="ascii",
)

_LEAST_SPAN = 0.25
_PLAIN_TERMINALS = ("linux", "vt", "ansi", "dumb")


def choose_glyphs(wish: Literal["auto", "unicode", "ascii"], encoding: str, environment: Mapping[str, str]) -> Glyphs:
    """Choose a set.

    Args:
        wish: what was asked for.
        encoding: of the terminal, as the locale says.
        environment: of the process; TERM is looked at.
    """
    if wish != "auto":
        return ASCII if wish == "ascii" else UNICODE
    plain = environment.get("TERM", "").startswith(_PLAIN_TERMINALS)
    return ASCII if plain or not encoding.lower().replace("-", "").startswith("utf") else UNICODE


def spark_line(glyphs: Glyphs, values: list[float], width: int) -> str:
    """Draw how the newest values moved, one cell each; older ones fall off on the left.

    The lowest is a flat line: how much it is, the number says. Small moves of large values stay small.
    """
    shown = values[-width:]
    lowest, highest = min(shown, default=0.0), max(shown, default=0.0)
    span = max(highest - lowest, _LEAST_SPAN * highest)
    steps = len(glyphs.spark) - 1
    return "".join(glyphs.spark[round((value - lowest) / span * steps) if span else 0] for value in shown).rjust(width)


def gauge(glyphs: Glyphs, part: float, width: int) -> tuple[str, str]:
    """Return a thin bar as (filled, rest); anything above nothing fills a cell."""
    cells = round(min(max(part, 0.0), 1.0) * width)
    if part > 0:
        cells = max(cells, 1)
    return glyphs.filled * cells, glyphs.empty * (width - cells)
