"""Trying again: for as long as it takes, and not a moment longer than somebody wants it."""

import asyncio
import contextlib

import pytest

from kit.errors import Unavailable
from services.ingest.retry import Backoff, until_done


async def test_a_part_that_is_away_is_waited_for() -> None:
    attempts = 0

    async def attempt() -> str:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise Unavailable
        return "done"

    async with asyncio.timeout(5):
        assert await until_done("a part", attempt) == "done"
    assert attempts == 3


async def test_other_errors_are_not_waited_for() -> None:
    async def attempt() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await until_done("a part", attempt)


async def test_a_cancellation_that_meets_a_failure_still_ends_the_loop() -> None:
    async def fails_when_cancelled() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        raise ValueError("died of the cancellation")

    began = asyncio.Event()

    async def loop() -> None:
        backoff = Backoff(first=0.01)
        while True:
            with contextlib.suppress(ExceptionGroup):
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(fails_when_cancelled())
                    await asyncio.sleep(0)
                    began.set()
            await backoff.pause()

    task = asyncio.create_task(loop())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await task
    assert task.cancelled()
