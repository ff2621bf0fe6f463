"""A browser with a microphone that says the same thing over and over, and a connection that offers it."""

import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from gateway.listener import open_http
from tests.integration.connector.harness import RATE as PCM_RATE
from tests.integration.connector.harness import place_of
from tests.system.mesh.person import CHROMIUM, FLAGS, LOOPBACK_FLAG

RATE = 48_000
_LOWEST_HERTZ = 300
_SILENCE = 100.0
_OFFER = """
async () => {
  const wishes = {echoCancellation: false, noiseSuppression: false, autoGainControl: false};
  const stream = await navigator.mediaDevices.getUserMedia({audio: wishes});
  window.connection = new RTCPeerConnection();
  connection.addTransceiver(stream.getAudioTracks()[0], {direction: 'sendonly', streams: [stream]});
  await connection.setLocalDescription();
  if (connection.iceGatheringState !== 'complete') {
    await new Promise((done) => {
      connection.onicegatheringstatechange = () => connection.iceGatheringState === 'complete' && done();
    });
  }
  return connection.localDescription.sdp;
}
"""
_PUBLISH = """
async ([url, key]) => {
  const answer = await fetch(url, {
    method: 'POST',
    headers: {'Content-Type': 'application/sdp', Authorization: `Bearer ${key}`},
    body: connection.localDescription.sdp,
  });
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
  await connection.setRemoteDescription({type: 'answer', sdp: await answer.text()});
  return new URL(answer.headers.get('Location'), answer.url).href;
}
"""
_UNPUBLISH = """
async ([url, key]) => (await fetch(url, {method: 'DELETE', headers: {Authorization: `Bearer ${key}`}})).status
"""


class Microphone:
    """A page that has opened its microphone; the page's `connection` sends it."""

    def __init__(self, page: Any) -> None:
        self._page = page

    async def offer(self) -> str:
        """Make the connection; returns an offer with all its candidates."""
        return str(await self._page.evaluate(_OFFER))

    async def accept(self, answer_sdp: str) -> None:
        """Take the answer."""
        await self._page.evaluate("(sdp) => connection.setRemoteDescription({type: 'answer', sdp})", answer_sdp)

    async def publish(self, url: str, key: str) -> str:
        """Send the offer to a WHIP endpoint and take its answer; returns what its `Location` names."""
        return str(await self._page.evaluate(_PUBLISH, [url, key]))

    async def unpublish(self, location: str, key: str) -> int:
        """DELETE what was made; returns the status."""
        return int(await self._page.evaluate(_UNPUBLISH, [location, key]))


def likeness(said: NDArray[np.int16], heard: NDArray[np.int16]) -> float:
    """Return how alike a voice and what was heard of it through a browser are, as a correlation in [-1, 1].

    Above 300 Hz: the browser's voice encoder cuts what is deepest, which turns the phase of a voice's fundamental by
    some 40 degrees (measured: coherence 0.998, and yet a correlation of 0.86 with it and of 0.97 without). By pieces of
    a second, of which the middle one counts: a machine that is busy costs the browser's microphone some samples.
    """
    return float(np.median([alike for _, alike in found_pieces(said, heard, seconds=1.0)]))


def found_pieces(said: NDArray[Any], heard: NDArray[Any], *, seconds: float) -> Sequence[tuple[float, float]]:
    """Find every piece of `seconds` in which something is said: how many seconds later it is heard, and how alike."""
    length = round(seconds * PCM_RATE)
    meant, recorded = _above(said), _above(heard)
    found = []
    for start in range(0, len(meant) - length + 1, length):
        piece = meant[start : start + length]
        if np.sqrt((piece**2).mean()) > _SILENCE:
            place, alike = place_of(piece, recorded)
            found.append(((place - start) / PCM_RATE, alike))
    return found


def _above(samples: NDArray[Any]) -> NDArray[np.float64]:
    spectrum = np.fft.rfft(samples.astype(np.float64))
    spectrum[np.fft.rfftfreq(len(samples), 1 / PCM_RATE) < _LOWEST_HERTZ] = 0
    return np.fft.irfft(spectrum, len(samples))


def write_wave(path: Path, samples: NDArray[np.int16]) -> None:
    """Write samples at 16 kHz as a file at 48 kHz, which browsers play as they are."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = 16_000
    pieces = [piece.to_ndarray()[0] for given in (frame, None) for piece in resampler.resample(given)]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.concatenate(pieces).astype("<i2").tobytes())


@asynccontextmanager
async def serving_blank_page() -> AsyncIterator[str]:
    """Serve an empty page for the block; yields its origin."""

    async def page(request: Request) -> HTMLResponse:
        return HTMLResponse("<!doctype html><title>microphone</title>")

    async with open_http("127.0.0.1:0", Starlette(routes=[Route("/", page)]), grace_seconds=1) as http:
        yield http.url


@asynccontextmanager
async def open_microphone(folder: Path, origin: str, samples: NDArray[np.int16]) -> AsyncIterator[Microphone]:
    """Run a browser on a page of `origin` for the block; its microphone hears `samples` (16 kHz) over and over."""
    playwright = pytest.importorskip("playwright.async_api")
    if not Path(CHROMIUM).exists():
        pytest.skip("Debian's package chromium is not installed")
    voice = folder / "voice.wav"
    write_wave(voice, samples)
    async with playwright.async_playwright() as driver:
        context = await driver.chromium.launch_persistent_context(
            str(folder / "profile"),
            executable_path=CHROMIUM,
            headless=True,
            args=[*FLAGS, LOOPBACK_FLAG, f"--use-file-for-fake-audio-capture={voice}"],
        )
        try:
            page = context.pages[0]
            await page.goto(origin)
            yield Microphone(page)
        finally:
            await context.close()
