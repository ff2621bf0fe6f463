"""The tiles: the mesh in six numbers, each with a word on how it is and its last two minutes."""

from dataclasses import dataclass

from tui.condition import Style, lag_style
from tui.glyphs import spark_line
from tui.quantities import count, milliseconds
from tui.view import View
from tui.widgets.canvas import LiveCanvas
from tui.widgets.runs import Runs, fit

_LONG_LABEL_CELLS = 13


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile. `short` is the label where there is little room."""

    label: str
    short: str
    value: str
    beside: str
    style: Style
    series: str


class Tiles(LiveCanvas):
    """Three lines, and an empty one above where there is room."""

    DEFAULT_CSS = """
    Tiles { height: 4; background: $background; scrollbar-size: 0 0; overflow: hidden; }
    """

    def __init__(self, view: View) -> None:
        super().__init__(view, id="tiles")

    def tiles(self) -> list[Tile]:
        """Return the tiles as of now; dashes stand for what is not known yet."""
        now, none = self.view.vitals.now, self.view.glyphs.none
        if not self.view.store.ready:
            return [Tile(label, short, none, "", "dim", series) for label, short, series in _LABELS]
        lag = lag_style(now.lag_p95_ms)
        words = none if now.words_per_minute is None else count(now.words_per_minute)
        dead = f"dead {count(now.dead)}" if now.dead else ""
        figures: list[tuple[str, str, Style]] = [
            (count(now.live), f"of {count(now.sessions)}", "ok"),
            (milliseconds(now.lag_p95_ms) if now.sessions else none, "", "ok" if lag == "text" else lag),
            (words, "", "info"),
            (count(now.depth), dead, "error" if now.dead else "ok"),
            (str(now.breakers_open), f"of {now.breakers}", "error" if now.breakers_open else "ok"),
            (str(now.rooms_away), f"of {now.rooms}", "error" if now.rooms_away else "ok"),
        ]
        return [
            Tile(label, short, value, beside, style, series)
            for (label, short, series), (value, beside, style) in zip(_LABELS, figures, strict=True)
        ]

    def paint(self, y: int, width: int) -> Runs:
        line = y - (self.size.height - 3)
        if line < 0:
            return []
        tiles = self.tiles()
        each = width // len(tiles)
        runs: Runs = []
        for index, tile in enumerate(tiles):
            inner = (each if index < len(tiles) - 1 else width - each * index) - 3
            runs += [(f" {self.view.glyphs.bar} ", tile.style), *self._line(tile, line, inner)]
        return runs

    def _line(self, tile: Tile, line: int, width: int) -> Runs:
        glyphs = self.view.glyphs
        if line == 0:
            label = tile.label if width >= _LONG_LABEL_CELLS else tile.short
            return [(fit(label, width, dots=glyphs.dots), "head")]
        if line == 1:
            mark = {"ok": glyphs.ok, "warn": glyphs.warn, "error": glyphs.error}.get(tile.style, "")
            room = width - len(tile.value) - 1 - (len(mark) + 1 if mark else 0)
            beside = tile.beside if len(tile.beside) <= room else ""
            return [(f"{tile.value} ", "bold"), (f"{mark} " if mark else "", tile.style), (fit(beside, room), "dim")]
        style = tile.style if tile.style in {"warn", "error"} else "info"
        return [(spark_line(glyphs, self.view.vitals.history(tile.series), width - 1), style), (" ", "text")]


_LABELS = (
    ("LIVE SESSIONS", "LIVE", "live"),
    ("LAG p95", "LAG p95", "lag_p95_ms"),
    ("WORDS / MIN", "WORDS/MIN", "words_per_minute"),
    ("QUEUE DEPTH", "QUEUES", "depth"),
    ("BREAKERS OPEN", "BREAKERS", "breakers_open"),
    ("ROOMS AWAY", "ROOMS AWAY", "rooms_away"),
)
