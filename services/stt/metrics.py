"""Metrics of the stt room; RPCs are counted by the kit."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

STREAMS = Gauge("agent_stt_streams", "Streams and recordings open now.")
AUDIO_SECONDS = Counter("agent_stt_audio_seconds", "Sound received, in seconds.")
STREAMS_REFUSED = Counter("agent_stt_streams_refused", "Streams refused because this replica carries enough.")
WORKERS = Gauge("agent_stt_workers", "Decodes at a time.")
PREDICTED_LOAD = Gauge(
    "agent_stt_predicted_load",
    "Share of the workers' time that the live streams need with interims at their rarest; streams are refused at 0.85.",
)
STRETCH = Gauge("agent_stt_interim_stretch", "How much rarer than set interims are now, 1 to 5.")
QUEUED = Gauge("agent_stt_queued", "Decodes that wait for a worker.", ("mode",))
QUEUE_AGE_SECONDS = Gauge("agent_stt_queue_age_seconds", "Age of the oldest decode that waits.", ("mode",))
REAL_TIME_FACTOR = Gauge("agent_stt_real_time_factor", "Worker time per second of utterance, finals alone.")
FINALS = Counter("agent_stt_finals", "Finals sent, by engine.", ("engine",))
FINAL_SECONDS = Histogram(
    "agent_stt_final_seconds",
    "Time from the utterance's turn on its track to its text, waiting for a worker included, in seconds.",
    buckets=_SECONDS,
)
DECODE_SECONDS = Histogram("agent_stt_decode_seconds", "Time of one decode, in seconds.", ("mode",), buckets=_SECONDS)
DECODE_WINDOWS = Histogram(
    "agent_stt_decode_windows", "Windows in one decode; above 1 on a GPU.", buckets=(1, 2, 4, 8, 12, 16, 24, 32)
)
INTERIMS = Counter("agent_stt_interims", "Interims sent.")
INTERIMS_DROPPED = Counter("agent_stt_interims_dropped", "Interims given up for a newer one, or because they waited.")
DECODED_SECONDS = Counter(
    "agent_stt_decoded_seconds", "Sound decoded, interims included, in seconds.", ("engine", "tenant")
)
COST_USD = Counter("agent_stt_cost_usd", "What decoding was billed, in US dollars.", ("engine", "tenant"))
ENGINE_FAILURES = Counter("agent_stt_engine_failures", "Windows that an engine of the chain failed.", ("engine",))
BREAKER_OPEN = Gauge(
    "agent_stt_breaker_open", "Whether an engine rests after failures, or is to be tried again (1).", ("engine",)
)
BREAKERS_OPENED = Counter("agent_stt_breakers_opened", "Times that an engine was sent to rest.", ("engine",))


class Carried(Protocol):
    """What the tracks of the room cost: `services.stt.load.Forecast`."""

    @property
    def load(self) -> float: ...
    @property
    def real_time_factor(self) -> float: ...


class Queued(Protocol):
    """What waits: `services.stt.pool.PoolStats`."""

    @property
    def finals_queued(self) -> int: ...
    @property
    def interims_queued(self) -> int: ...
    @property
    def final_age_seconds(self) -> float: ...
    @property
    def interim_age_seconds(self) -> float: ...


class Pool(Protocol):
    """Where decodes wait: `services.stt.pool.DecodePool`."""

    @property
    def workers(self) -> int: ...
    @property
    def stretch(self) -> float: ...
    @property
    def forecast(self) -> Carried: ...
    @property
    def stats(self) -> Queued: ...


def watch(pool: Pool) -> None:
    """Show a pool's numbers from now on."""
    WORKERS.set(pool.workers)
    STRETCH.set_function(lambda: pool.stretch)
    PREDICTED_LOAD.set_function(lambda: pool.forecast.load)
    REAL_TIME_FACTOR.set_function(lambda: pool.forecast.real_time_factor)
    QUEUED.labels("final").set_function(lambda: pool.stats.finals_queued)
    QUEUED.labels("interim").set_function(lambda: pool.stats.interims_queued)
    QUEUE_AGE_SECONDS.labels("final").set_function(lambda: pool.stats.final_age_seconds)
    QUEUE_AGE_SECONDS.labels("interim").set_function(lambda: pool.stats.interim_age_seconds)


def watch_breakers(closed: Mapping[str, Callable[[], bool]]) -> None:
    """Show from now on which engines' breakers are not closed."""
    for engine, is_closed in closed.items():
        BREAKER_OPEN.labels(engine).set_function(partial(_is_open, is_closed))


def _is_open(is_closed: Callable[[], bool]) -> float:
    return 0.0 if is_closed() else 1.0
