"""How much of what was said is heard when packets are lost: the same voices to both receivers over the same wire."""

import asyncio
from base64 import b64decode
from contextlib import AsyncExitStack
from statistics import mean, median

import numpy as np
from numpy.typing import NDArray

from bench.webrtc.call import Pair
from bench.webrtc.network import Network
from bench.webrtc.pipe import running
from bench.webrtc.voice import RATE, samples

_WINDOW = 2 * RATE
_SEARCH = RATE // 2
_AUDIBLE_PEAK = 1000

Samples = NDArray[np.int16]


async def hear(network: Network, share: float, seconds: float, voices: int) -> dict[str, dict[str, float]]:
    """Let the voices speak to ours and to stock at once, losing `share` of the packets; returns figures of each."""
    async with AsyncExitStack() as stack:
        sender = await stack.enter_async_context(running("bench.webrtc.sender", prefix=network.sender))
        pairs: dict[str, Pair] = {}
        numbers: dict[str, range] = {}
        for index, mode in enumerate(("ours", "stock")):
            child = await stack.enter_async_context(running("bench.webrtc.receiver", mode, prefix=network.receiver))
            pairs[mode] = Pair(sender, child, network)
            numbers[mode] = range(index * voices, (index + 1) * voices)
        network.lose(0.0)
        for mode, pair in pairs.items():
            for number in numbers[mode]:
                said = number % voices
                await pair.dial(number, call=0, seconds=seconds, pauses=True, keep=True, voice=said)
        network.lose(share)
        await sender.ask("play")
        await asyncio.sleep(seconds + 2.0)
        network.lose(0.0)
        figures = {}
        for mode, pair in pairs.items():
            found: list[float] = []
            for number in numbers[mode]:
                raw = b64decode((await pair.receiver.ask("heard", number=number, pcm=True))["pcm"])
                said_samples = samples(number % voices, seconds, pauses=True)
                found += likeness(said_samples, np.frombuffer(raw, "<i2"))
            figures[mode] = {
                "correlation": median(found),
                "correlation_mean": mean(found),
                "correlation_min": min(found),
            }
        return figures


def likeness(said: Samples, heard: Samples) -> list[float]:
    """Correlate each 2 s that were said with what was heard then, give or take half a second; windows with speech."""
    start = _place(said, heard)
    padded = np.pad(heard.astype(float), (_SEARCH + max(0, -start), _SEARCH + len(said)))
    found = []
    for first in range(0, len(said) - _WINDOW + 1, _WINDOW):
        window = said[first : first + _WINDOW].astype(float)
        if np.abs(window).max() < _AUDIBLE_PEAK:
            continue
        at = first + max(0, start)  # of the half second before the window, in the padded recording
        found.append(_best(window, padded[at : at + _WINDOW + 2 * _SEARCH]))
    return found


def _best(window: NDArray[np.float64], around: NDArray[np.float64]) -> float:
    products = np.correlate(around, window, "valid") if len(window) < 256 else _correlate(around, window)
    energy = np.concatenate(([0.0], np.cumsum(around**2)))
    norms = np.sqrt(np.maximum(energy[len(window) :] - energy[: -len(window)], 1.0) * (window**2).sum())
    return float((products / norms).max())


def _correlate(around: NDArray[np.float64], window: NDArray[np.float64]) -> NDArray[np.float64]:
    size = 1 << (len(around) + len(window)).bit_length()
    products = np.fft.irfft(np.fft.rfft(around, size) * np.conj(np.fft.rfft(window, size)), size)
    return products[: len(around) - len(window) + 1]


def _place(said: Samples, heard: Samples) -> int:
    """Return the sample of the recording at which the source starts."""
    size = 1 << (len(said) + len(heard)).bit_length()
    products = np.fft.irfft(
        np.fft.rfft(heard.astype(float), size) * np.conj(np.fft.rfft(said.astype(float), size)), size
    )
    best = int(np.argmax(products))
    return best if best < size // 2 else best - size
