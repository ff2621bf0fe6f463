"""The mesh in six numbers, sampled once a second, with their recent past."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from tui.rows import SessionRow
from tui.store import Tables

KEPT_SAMPLES = 120
_WORDS_WINDOW_SECONDS = 60.0
_SOON_SECONDS = 5.0  # before that a rate per minute would jump about


@dataclass(slots=True)
class Figures:
    """One sample. `words_per_minute` is None until there is something to tell it from."""

    live: int = 0
    sessions: int = 0
    lag_p95_ms: int = 0
    words_per_minute: int | None = None
    depth: int = 0
    dead: int = 0
    breakers_open: int = 0
    breakers: int = 0
    rooms_away: int = 0
    rooms: int = 0


@dataclass(slots=True)
class Vitals:
    """The newest figures and the series that sparklines draw, newest last."""

    now: Figures = field(default_factory=Figures)
    series: dict[str, deque[float]] = field(default_factory=dict)
    _words: dict[str, int] = field(default_factory=dict)
    _written: deque[tuple[float, int]] = field(default_factory=deque)

    def sample(self, tables: Tables, at: float) -> None:
        """Take a sample at a moment of the monotonic clock."""
        self.now = Figures(
            live=sum(row.state in {"LIVE", "DEGRADED"} for row in tables.sessions.values()),
            sessions=len(tables.sessions),
            lag_p95_ms=_percentile_95(
                [row.lag_ms for row in tables.sessions.values() if row.state not in {"FAILED", "ENDED"}]
            ),
            words_per_minute=self._words_per_minute(tables.sessions, at),
            depth=sum(row.depth for row in tables.queues.values()),
            dead=sum(row.dead for row in tables.queues.values()),
            breakers_open=sum(row.state != "closed" for row in tables.breakers.values()),
            breakers=len(tables.breakers),
            rooms_away=sum(row.state == "away" for row in tables.rooms.values()),
            rooms=len(tables.rooms),
        )
        for name in ("live", "lag_p95_ms", "words_per_minute", "depth", "breakers_open", "rooms_away"):
            value = getattr(self.now, name)
            if value is not None:
                self.series.setdefault(name, deque(maxlen=KEPT_SAMPLES)).append(float(value))

    def history(self, name: str) -> list[float]:
        """Return the values of a figure, oldest first."""
        return list(self.series.get(name, ()))

    def _words_per_minute(self, sessions: Mapping[str, SessionRow], at: float) -> int | None:
        # A session that appears with its words already written adds nothing: they were not written just now.
        written = sum(max(0, row.words - self._words.get(key, row.words)) for key, row in sessions.items())
        self._words = {key: row.words for key, row in sessions.items()}
        self._written.append((at, written))
        while self._written[0][0] < at - _WORDS_WINDOW_SECONDS:
            self._written.popleft()
        observed = at - self._written[0][0]
        if observed < _SOON_SECONDS:
            return None
        words = sum(words for _, words in list(self._written)[1:])
        return round(words * 60 / observed)


def _percentile_95(values: list[int]) -> int:
    ordered = sorted(values)
    return ordered[-(-95 * len(ordered) // 100) - 1] if ordered else 0
