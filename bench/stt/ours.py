"""Ours: every call a recogniser of the room, all on one pool, with interims; paced by the clock."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from bench.stt.calls import Call
from bench.stt.delay import Delivered, Trial
from services.stt.audio import SAMPLE_RATE_HERTZ, Pcm, samples_of
from services.stt.engines.engine import SpeechEngine
from services.stt.engines.registry import open_engine
from services.stt.engines.silero import load_vad_session
from services.stt.load import Forecast, Seed, probe
from services.stt.pool import DecodePool, open_pool
from services.stt.recogniser import (
    Decided,
    Event,
    FinalText,
    Finished,
    Recogniser,
    RecogniserOptions,
    open_recogniser,
)
from services.stt.settings import SttSettings

_PIECE_SAMPLES = samples_of(0.1)
_SINK = 64
_DRAIN_SECONDS = 8.0

SETTINGS = SttSettings(provider=("demo",))


@dataclass(slots=True)
class Heard:
    """One call's events, each with its moment."""

    delivered: Delivered
    events: list[tuple[float, Event]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The engine, and what the room would expect of it."""

    engine: SpeechEngine
    seed: Seed


@asynccontextmanager
async def loaded() -> AsyncIterator[Loaded]:
    """Load the model that every variant uses."""
    async with open_engine(SETTINGS) as engine:
        yield Loaded(engine, await asyncio.to_thread(probe, engine, SETTINGS.interim_interval_seconds))


async def hold(loaded: Loaded, calls: Sequence[Call]) -> tuple[Trial, list[Heard], Forecast]:
    """Hold the calls at the pace of speech; returns what was late, what was heard, what the room expects now."""
    workers = loaded.engine.capabilities.workers
    forecast = Forecast(workers, loaded.seed)
    heard: list[Heard] = []
    async with open_pool(loaded.engine, forecast=forecast) as pool:
        started = perf_counter() + 0.2
        talking = [
            asyncio.create_task(_talk(pool, forecast, call, started + number * 0.1 / len(calls), heard))
            for number, call in enumerate(calls)
        ]
        seconds = max(len(call.pcm) for call in calls) / SAMPLE_RATE_HERTZ + _DRAIN_SECONDS
        _, late = await asyncio.wait(talking, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
    by_call = sorted(heard, key=lambda each: each.delivered.started)
    delays = [
        delay for each, call in zip(by_call, calls, strict=True) for delay in each.delivered.delays(call.speech_ends)
    ]
    return Trial(len(calls), delays), by_call, forecast


async def _talk(pool: DecodePool, forecast: Forecast, call: Call, started: float, heard: list[Heard]) -> None:
    mine = Heard(Delivered(started))
    heard.append(mine)
    options = RecogniserOptions(
        rules=SETTINGS.endpointing,
        language=call.language,
        interim_interval_samples=samples_of(SETTINGS.interim_interval_seconds),
    )
    sink: asyncio.Queue[Event] = asyncio.Queue(_SINK)
    silence = np.zeros(samples_of(1.0), np.int16)
    with forecast.track() as listener:
        async with (
            open_recogniser(pool, load_vad_session(), options, sink) as recogniser,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(_feed(recogniser, np.concatenate([call.pcm, silence]), started, listener.heard))
            while not isinstance(event := await sink.get(), Finished):
                now = perf_counter()
                mine.events.append((now, event))
                if isinstance(event, FinalText | Decided):
                    mine.delivered.marks.append((now, event.decided_sample))
            mine.delivered.marks.append((perf_counter(), event.decided_sample))


async def _feed(recogniser: Recogniser, pcm: Pcm, started: float, count: Callable[[int], None]) -> None:
    for end in range(_PIECE_SAMPLES, len(pcm) + 1, _PIECE_SAMPLES):
        await asyncio.sleep(max(0.0, started + end / SAMPLE_RATE_HERTZ - perf_counter()))
        piece = pcm[end - _PIECE_SAMPLES : end]
        count(len(piece))
        await recogniser.feed(piece)
    await recogniser.end()
