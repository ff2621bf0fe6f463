"""A dead microphone in a real call: everybody's page says whose it is within half a minute; a still room is fine."""

import asyncio
import shutil
import wave
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest

from kit.ids import new_id
from mesh.mesh import open_mesh
from tests.system.mesh.person import open_person
from tests.system.mesh.test_call import BUILD, begin

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

RATE = 48_000
TELL_SECONDS = 30.0


def write_noise(path: Path, rms: float) -> None:
    """Write a minute of noise; none at all if its level is 0."""
    noise = np.random.default_rng(1).normal(0, rms, 60 * RATE) if rms else np.zeros(60 * RATE)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(noise.astype("<i2").tobytes())


async def test_a_dead_microphone_is_told_and_a_still_room_is_not(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.async_api")
    data = BUILD / f"system-{new_id()}"  # PostgreSQL changes its user and cannot enter a private temporary directory
    dead, still = tmp_path / "dead.wav", tmp_path / "still.wav"
    write_noise(dead, 0)
    write_noise(still, 30)
    try:
        async with AsyncExitStack() as stack:
            environment = {"STT_PROVIDER": "demo", "AUTH_MODE": "api_key"}
            mesh = await stack.enter_async_context(open_mesh(data, free_ports=True, environment=environment))
            driver = await stack.enter_async_context(playwright.async_playwright())
            alice = await stack.enter_async_context(open_person(driver, tmp_path / "alice", "Alice", dead))
            ben = await stack.enter_async_context(open_person(driver, tmp_path / "ben", "Ben", still))
            await begin(mesh, alice, ben)
            loop = asyncio.get_running_loop()
            began = loop.time()
            for person in (alice, ben):
                await person.until("document.body.dataset.warnings === '1'", 2 * TELL_SECONDS)
            # What went on before the recorder was seen, and the look at the page, take their time too.
            assert loop.time() - began < TELL_SECONDS + 5
            assert "Your microphone gives nothing" in await alice.page.inner_text("#warnings")
            assert "comes from Alice" in await ben.page.inner_text("#warnings")
            await alice.page.keyboard.press("m")
            for person in (alice, ben):
                await person.until("document.body.dataset.warnings === '0'")
                assert not person.problems
    finally:
        shutil.rmtree(data, ignore_errors=True)
