"""How much the room carries: what a live track costs, measured while tracks run, and whether one more fits.

Cost is worker time per second of sound, finals and interims apart: finals must be decoded, interims may become rarer.
From it follow how far interims are stretched and whether one more track is taken. A track that catches up, and a whole
recording, hear many seconds in one, so they are rated by what is heard, not by the clock; they give way to live ones.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import exp

import numpy as np

from kit.clock import monotonic
from services.stt.audio import SAMPLE_RATE_HERTZ, samples_of
from services.stt.engines.engine import Mode, SpeechEngine, Window

FULL = 0.85
"""Share of the workers' time that tracks may be expected to take; the rest is for what nobody expects."""
MOST_STRETCH = 5.0
"""Interims become rarer up to this many times."""
_MEMORY_SECONDS = 60.0
_SEED_SECONDS = 60.0
"""Seconds of sound after which what was measured counts as much as what the warm-up said."""
_ATTENTION_SECONDS = 30.0
"""A track that sent no sound for this long is taken for a muted one."""
_MUTED_WEIGHT = 0.1
_SHORT_SILENCE_SAMPLES = samples_of(1.0)
_RECOUNT_SECONDS = 1.0

_PROBE_SECONDS = 5.0
_PROBE_AMPLITUDE = 0.01
_TALKING = 0.5
"""Share of a track that is taken for speech until it is known."""


@dataclass(frozen=True, slots=True)
class TrackCost:
    """Worker seconds per second of one live track."""

    finals: float = 0.0
    interims: float = 0.0
    """At full cadence."""

    @property
    def least(self) -> float:
        """With interims as rare as they may become."""
        return self.finals + self.interims / MOST_STRETCH


@dataclass(frozen=True, slots=True)
class Economy:
    """What decoding windows together saves: the time of a batch grows by less than a window's with each window."""

    batch: int = 1
    """Windows of a full one."""
    full: float = 1.0
    """Its time over that of one window alone."""

    def at_best(self, windows: int) -> float:
        """Return a window's time in a full batch over its share of one of so many windows."""
        if self.batch == 1:
            return 1.0
        each = max(0.0, self.full - 1.0) / (self.batch - 1)
        return (max(0.0, 1.0 - each) / self.batch + each) / (max(0.0, 1.0 - each) / windows + each)


@dataclass(frozen=True, slots=True)
class Seed:
    """What is expected before anything was measured."""

    cost: TrackCost = field(default_factory=TrackCost)
    economy: Economy = field(default_factory=Economy)


class Listener:
    """One track as the forecast sees it."""

    def __init__(self, forecast: "Forecast", now: float) -> None:
        self._forecast = forecast
        self.heard_at = now

    def heard(self, samples: int) -> None:
        """Count sound."""
        self.heard_at = monotonic()
        self._forecast.heard(samples)

    def silent(self, samples: int) -> None:
        """Count digital silence; a long one is a muted microphone and says nothing about cost."""
        self._forecast.heard(min(samples, _SHORT_SILENCE_SAMPLES))


class Forecast:
    """The load to be expected of the live tracks there are, and of one more."""

    def __init__(self, workers: int, seed: Seed | None = None) -> None:
        self._workers = workers
        self._seed = (seed or Seed()).cost
        self._economy = (seed or Seed()).economy
        self._listeners: set[Listener] = set()
        self._at = monotonic()
        self._heard_seconds = 0.0
        self._final_seconds = 0.0
        self._interim_seconds = 0.0
        self._final_sound_seconds = 0.0
        self._final_worker_seconds = 0.0
        self._interim_decode_seconds = 0.0
        self._live = 0.0
        self._counted_at = 0.0

    @contextmanager
    def track(self) -> Iterator[Listener]:
        """Expect a live track for the block."""
        listener = Listener(self, monotonic())
        self._listeners.add(listener)
        self._counted_at = 0.0
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            self._counted_at = 0.0

    def heard(self, samples: int) -> None:
        """Count sound of a live track."""
        self._forget()
        self._heard_seconds += samples / SAMPLE_RATE_HERTZ

    def decoded(self, window: Window, seconds: float, *, stretch: float, beside: int = 1) -> None:
        """Count a decode for a live track.

        Args:
            window: what was decoded.
            seconds: its share of the worker's time.
            stretch: how much rarer than wanted interims were when it was asked for.
            beside: windows of the decode; what a full one would have taken counts, as load fills them.
        """
        self._forget()
        at_best = seconds * self._economy.at_best(beside)
        if window.mode is Mode.FINAL:
            self._final_seconds += at_best
            self._final_worker_seconds += seconds
            self._final_sound_seconds += len(window.waveform) / SAMPLE_RATE_HERTZ
        else:
            self._interim_seconds += at_best * stretch
            self._interim_decode_seconds += (at_best - self._interim_decode_seconds) / 10

    def dropped(self, stretch: float) -> None:
        """Count an interim that was asked for and given up: it would have cost what others do."""
        self._interim_seconds += self._interim_decode_seconds * stretch

    @property
    def cost(self) -> TrackCost:
        """What a track costs."""
        self._forget()
        heard = self._heard_seconds + _SEED_SECONDS
        return TrackCost(
            finals=(self._final_seconds + _SEED_SECONDS * self._seed.finals) / heard,
            interims=(self._interim_seconds + _SEED_SECONDS * self._seed.interims) / heard,
        )

    @property
    def real_time_factor(self) -> float:
        """Worker time per second of utterance, finals alone, over the last minute or so; 0 when there was none."""
        self._forget()
        return self._final_worker_seconds / self._final_sound_seconds if self._final_sound_seconds > 0.1 else 0.0

    @property
    def load(self) -> float:
        """Share of the workers' time that the tracks will need at the least; above 1 they cannot keep up."""
        return self._tracks() * self.cost.least / self._workers

    @property
    def tracks_that_fit(self) -> int:
        """Tracks like those of now that are taken altogether."""
        least = self.cost.least
        return max(1, int(FULL * self._workers / least)) if least > 0 else 1_000_000

    @property
    def fits_one_more(self) -> bool:
        """Whether a live track more can be carried; the first one always is: late text is better than none."""
        return not self._listeners or (self._tracks() + 1) * self.cost.least <= FULL * self._workers

    @property
    def stretch(self) -> float:
        """How much rarer interims have to be, in [1, MOST_STRETCH]."""
        cost, tracks = self.cost, self._tracks()
        room = FULL * self._workers - tracks * cost.finals
        wanted = tracks * cost.interims
        return min(MOST_STRETCH, max(1.0, wanted / room)) if room > 0 else MOST_STRETCH

    def _tracks(self) -> float:
        """Return the tracks; those that have been quiet for long count little."""
        now = monotonic()
        if now - self._counted_at > _RECOUNT_SECONDS:
            since = now - _ATTENTION_SECONDS
            self._live = sum(1.0 if each.heard_at > since else _MUTED_WEIGHT for each in self._listeners)
            self._counted_at = now
        return self._live

    def _forget(self) -> None:
        """Let what is long past count less."""
        now = monotonic()
        # Often called: a step that changes nothing is not worth its time.
        if now - self._at < 0.1:
            return
        kept = exp((self._at - now) / _MEMORY_SECONDS)
        self._at = now
        self._heard_seconds *= kept
        self._final_seconds *= kept
        self._interim_seconds *= kept
        self._final_worker_seconds *= kept
        self._final_sound_seconds *= kept


def probe(engine: SpeechEngine, interim_interval_seconds: float) -> Seed:
    """Decode a few seconds of hiss each way and return what a track may cost; blocks.

    Only a first guess, right within a factor of two or three: hiss has no words to spell out.
    """
    capabilities = engine.capabilities
    if capabilities.remote:
        return Seed()
    try:
        final = _seconds(engine, Mode.FINAL, 1)
        full = _seconds(engine, Mode.FINAL, capabilities.batch) if capabilities.batch > 1 else final
        interim = _seconds(engine, Mode.INTERIM, capabilities.batch) if capabilities.interims else 0.0
    except Exception:
        # The edge to an engine, which may be anybody's: what it fails now, it will fail its first caller with.
        return Seed()
    cost = TrackCost(
        finals=_TALKING * full / capabilities.batch / _PROBE_SECONDS,
        # An utterance has interims of all lengths; the probe is one of the longer.
        interims=_TALKING * interim / capabilities.batch / interim_interval_seconds,
    )
    return Seed(cost, Economy(capabilities.batch, full / final if final > 0 else 1.0))


def _seconds(engine: SpeechEngine, mode: Mode, windows: int) -> float:
    hiss = np.random.default_rng(0).normal(0.0, _PROBE_AMPLITUDE, samples_of(_PROBE_SECONDS)).astype(np.float32)
    known = engine.capabilities.languages
    started = monotonic()
    engine.decode([Window(hiss, min(known) if known else None, mode)] * windows)
    return monotonic() - started
