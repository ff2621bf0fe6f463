"""A signed-in person's browser before the pages, with a microphone that hears a tone."""

import json
import math
import struct
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gateway.scripted import USER_KEY
from tests.kit_server import eventually

CHROMIUM = "/usr/bin/chromium"
# What kinds of sound or picture go out to anybody, over connections that the page made.
_NOTE_CONNECTIONS = """
window.connections = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...options) { super(...options); window.connections.push(this); }
};
"""
PICTURES = Path("build/pictures")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
)


class Page:
    """A browser's page; everything that went wrong in it is in `problems`."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda message: self._note(message))

    def _note(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    async def until(self, expression: str, seconds: float = 15.0) -> None:
        """Wait until an expression holds; the pages' policy keeps the browser's own waiting out."""

        async def true() -> bool:
            return bool(await self.page.evaluate(expression))

        await eventually(true, seconds)


@asynccontextmanager
async def browser(tmp_path: Path, name: str, url: str, **options: Any) -> AsyncIterator[Page]:
    """Open a signed-in page of a fresh browser whose microphone hears a tone that comes and goes."""
    playwright = pytest.importorskip("playwright.async_api")
    sound = tmp_path / f"{name}.wav"
    write_tone(sound)
    async with playwright.async_playwright() as driver:
        context = await driver.chromium.launch_persistent_context(
            str(tmp_path / name),
            executable_path=CHROMIUM,
            headless=True,
            args=[*FLAGS, f"--use-file-for-fake-audio-capture={sound}"],
            **options,
        )
        await context.add_init_script(_NOTE_CONNECTIONS)
        await context.add_init_script(
            f"sessionStorage.setItem('agent.key', {json.dumps(USER_KEY)});"
            f"localStorage.setItem('agent.name', {json.dumps(name)});"
        )
        page = Page(context.pages[0])
        await page.page.goto(url)
        try:
            yield page
        finally:
            await context.close()


def write_tone(path: Path, seconds: int = 10, rate: int = 48_000) -> None:
    """Write a tone of 220 Hz whose loudness swells."""
    swell = (0.5 + 0.5 * math.sin(n / rate * 5) for n in range(seconds * rate))
    samples = (round(9000 * loud * math.sin(n / rate * 2 * math.pi * 220)) for n, loud in enumerate(swell))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))


async def picture(page: Page, name: str) -> None:
    """Keep what the browser shows, for whoever wants to look."""
    await page.page.evaluate("new Promise((drawn) => setTimeout(() => requestAnimationFrame(drawn), 400))")
    PICTURES.mkdir(parents=True, exist_ok=True)
    await page.page.screenshot(path=PICTURES / f"{name}.png")
