"""The pool of decodes: finals first, the newest interim of a stream only, and failures stay where they belong."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from kit.clock import monotonic
from services.stt.engines.engine import Mode, Window
from services.stt.load import Forecast
from services.stt.pool import open_pool
from tests.fakes.speech_engine import HeldEngine


def _window(samples: int, mode: Mode) -> Window:
    return Window(np.zeros(samples, np.float32), "en", mode)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the pool is watched from outside
            await asyncio.sleep(0.005)


async def test_finals_go_before_interims_and_by_their_due_time() -> None:
    engine = HeldEngine(held=True)
    async with open_pool(engine) as pool, asyncio.TaskGroup() as tasks:
        tasks.create_task(pool.decode_final(_window(1, Mode.FINAL), due=0.0))
        await _until(lambda: len(engine.asked) == 1)
        tasks.create_task(pool.decode_interim("a", _window(2, Mode.INTERIM)))
        tasks.create_task(pool.decode_final(_window(3, Mode.FINAL), due=9.0))
        tasks.create_task(pool.decode_final(_window(4, Mode.FINAL), due=5.0))
        await _until(lambda: pool.stats.queued == 3)
        engine.go.set()
    assert [len(window.waveform) for window in engine.asked] == [1, 4, 3, 2]


async def test_a_newer_interim_replaces_the_older_of_its_stream() -> None:
    engine = HeldEngine(held=True)
    async with open_pool(engine) as pool, asyncio.TaskGroup() as tasks:
        tasks.create_task(pool.decode_final(_window(1, Mode.FINAL), due=0.0))
        await _until(lambda: len(engine.asked) == 1)
        older = tasks.create_task(pool.decode_interim("a", _window(2, Mode.INTERIM)))
        await _until(lambda: pool.stats.queued == 1)
        newer = tasks.create_task(pool.decode_interim("a", _window(3, Mode.INTERIM)))
        assert await older is None
        assert pool.stats.queued == 1
        engine.go.set()
        hypothesis = await newer
    assert hypothesis is not None
    assert hypothesis.text == "3 samples"


async def test_a_cancelled_decode_is_not_done() -> None:
    engine = HeldEngine(held=True)
    async with open_pool(engine) as pool, asyncio.TaskGroup() as tasks:
        tasks.create_task(pool.decode_final(_window(1, Mode.FINAL), due=0.0))
        await _until(lambda: len(engine.asked) == 1)
        given_up = tasks.create_task(pool.decode_final(_window(2, Mode.FINAL), due=0.0))
        await _until(lambda: pool.stats.queued == 1)
        given_up.cancel()
        engine.go.set()
        await pool.decode_final(_window(3, Mode.FINAL), due=1.0)
    assert [len(window.waveform) for window in engine.asked] == [1, 3]


async def test_a_failed_decode_fails_its_caller_alone() -> None:
    engine = HeldEngine()
    async with open_pool(engine) as pool:
        engine.failing = True
        with pytest.raises(RuntimeError, match="cannot decode"):
            await pool.decode_final(_window(1, Mode.FINAL), due=0.0)
        engine.failing = False
        assert (await pool.decode_final(_window(2, Mode.FINAL), due=0.0)).text == "2 samples"


async def test_the_queue_shows_its_age_and_the_workers_their_load() -> None:
    engine = HeldEngine(held=True)
    async with open_pool(engine) as pool, asyncio.TaskGroup() as tasks:
        assert pool.stats.queue_age_seconds == 0.0
        tasks.create_task(pool.decode_final(_window(1, Mode.FINAL), due=0.0))
        tasks.create_task(pool.decode_final(_window(2, Mode.FINAL), due=0.0))
        await _until(lambda: pool.stats.queue_age_seconds > 0.02)
        assert 0.0 < pool.stats.load <= 1.0
        engine.go.set()


async def test_interims_go_before_finals_that_are_not_due_yet_and_those_are_done_all_the_same() -> None:
    engine = HeldEngine(held=True)
    async with open_pool(engine) as pool, asyncio.TaskGroup() as tasks:
        tasks.create_task(pool.decode_final(_window(1, Mode.FINAL), due=0.0))
        await _until(lambda: len(engine.asked) == 1)
        tasks.create_task(pool.decode_final(_window(2, Mode.FINAL), due=monotonic() + 30.0))
        tasks.create_task(pool.decode_interim("a", _window(3, Mode.INTERIM)))
        tasks.create_task(pool.decode_final(_window(4, Mode.FINAL), due=monotonic() + 2.0))
        await _until(lambda: pool.stats.queued == 3)
        engine.go.set()
    assert [len(window.waveform) for window in engine.asked] == [1, 4, 3, 2]


async def test_a_batching_worker_takes_what_has_gathered_while_it_was_busy_each_kind_apart() -> None:
    engine = HeldEngine(held=True, batch=4)
    async with open_pool(engine) as pool, asyncio.TaskGroup() as tasks:
        tasks.create_task(pool.decode_final(_window(1, Mode.FINAL), due=0.0))
        await _until(lambda: len(engine.asked) == 1)
        finals = [tasks.create_task(pool.decode_final(_window(10 + n, Mode.FINAL), due=float(n))) for n in range(6)]
        hints = [tasks.create_task(pool.decode_interim(f"{n}", _window(20 + n, Mode.INTERIM))) for n in range(3)]
        await _until(lambda: pool.stats.queued == 9)
        engine.go.set()
        assert [(await final).text for final in finals] == [f"{10 + n} samples" for n in range(6)]
        assert [one.text for hint in hints if (one := await hint)] == [f"{20 + n} samples" for n in range(3)]
    assert engine.batches == [1, 4, 2, 3]


async def test_a_window_that_cannot_be_decoded_fails_alone_not_those_beside_it() -> None:
    engine = HeldEngine(held=True, batch=4)
    engine.refused = 12
    async with open_pool(engine) as pool, asyncio.TaskGroup() as tasks:
        tasks.create_task(pool.decode_final(_window(1, Mode.FINAL), due=0.0))
        await _until(lambda: len(engine.asked) == 1)
        finals = [asyncio.create_task(pool.decode_final(_window(10 + n, Mode.FINAL), due=0.0)) for n in range(4)]
        await _until(lambda: pool.stats.queued == 4)
        engine.go.set()
        answers = await asyncio.gather(*finals, return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == ["Hypothesis", "Hypothesis", "RuntimeError", "Hypothesis"]


async def test_a_newer_interim_takes_the_older_ones_place_in_the_queue() -> None:
    engine = HeldEngine(held=True)
    async with open_pool(engine) as pool, asyncio.TaskGroup() as tasks:
        tasks.create_task(pool.decode_final(_window(1, Mode.FINAL), due=0.0))
        await _until(lambda: len(engine.asked) == 1)
        tasks.create_task(pool.decode_interim("a", _window(2, Mode.INTERIM)))
        tasks.create_task(pool.decode_interim("b", _window(3, Mode.INTERIM)))
        await _until(lambda: pool.stats.queued == 2)
        tasks.create_task(pool.decode_interim("a", _window(4, Mode.INTERIM)))
        await _until(lambda: pool.stats.interims_dropped == 1)
        engine.go.set()
    assert [len(window.waveform) for window in engine.asked] == [1, 4, 3]


async def test_interims_that_wait_make_the_next_ones_rarer_and_finals_that_wait_are_told() -> None:
    engine = HeldEngine(held=True)
    async with open_pool(engine) as pool, asyncio.TaskGroup() as tasks:
        assert (pool.stretch, pool.warning) == (1.0, "")
        tasks.create_task(pool.decode_final(_window(1, Mode.FINAL), due=0.0))
        await _until(lambda: len(engine.asked) == 1)
        tasks.create_task(pool.decode_interim("a", _window(2, Mode.INTERIM)))
        await _until(lambda: pool.stretch > 2.0)
        assert pool.warning == "interims stretched"
        tasks.create_task(pool.decode_final(_window(3, Mode.FINAL), due=0.0))
        await _until(lambda: pool.warning == "text comes late")
        engine.go.set()
    assert (pool.stretch, pool.warning) == (1.0, "")


async def test_only_live_decodes_count_as_what_a_track_costs() -> None:
    engine = HeldEngine()
    forecast = Forecast(1)
    async with open_pool(engine, forecast=forecast) as pool:
        with forecast.track() as listener:
            listener.heard(16_000)
            await pool.decode_final(_window(16_000, Mode.FINAL), due=0.0, live=False)
            assert forecast.cost.finals == 0.0
            await pool.decode_final(_window(16_000, Mode.FINAL), due=0.0)
            assert forecast.cost.finals > 0.0
