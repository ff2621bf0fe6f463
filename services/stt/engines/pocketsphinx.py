"""CMU PocketSphinx: small, English only, its model inside its package. It proves the path; as a transcript it is poor.

On recorded telephone prompts it gets about two words of three wrong. It is used when it is asked for by name, never
by `auto`.
"""

import asyncio
import queue
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import Any

import numpy as np

from kit.clock import monotonic
from kit.telemetry import logs
from services.stt.audio import SAMPLE_RATE_HERTZ, samples_of
from services.stt.engines.engine import Capabilities, HeardWord, Hypothesis, Mode, SpeechEngine, Window
from services.stt.errors import EngineNotReady
from services.stt.settings import SttSettings

NAME = "pocketsphinx"
MODEL = "en-us"
NOTE = "low accuracy: gets about two of three words of a telephone call wrong; English only"
_FRAMES_PER_SECOND = 100
_FULL_SCALE = 32_768
_SHORTEST_SAMPLES = samples_of(0.1)
"""The decoder has no frames to look at in less."""
_QUIET_PEAK = 64
"""Of 32,768: in less than that nobody speaks, but the decoder finds words even in digital silence."""

log = logs.get()


class PocketsphinxEngine:
    """A few decoders, each of one thread at a time; a decoder with its model takes about 90 MB."""

    def __init__(self, decoders: Sequence[Any]) -> None:
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for decoder in decoders:
            self._idle.put(decoder)
        self._capabilities = Capabilities(
            engine=NAME,
            model=MODEL,
            languages=frozenset({"en"}),
            word_times=True,
            punctuated=False,
            workers=len(decoders),
            note=NOTE,
        )

    @property
    def capabilities(self) -> Capabilities:
        """English, lower case, without punctuation."""
        return self._capabilities

    def warm_up(self) -> None:
        """Decode a second of silence."""
        self.decode([Window(np.zeros(SAMPLE_RATE_HERTZ, np.float32), "en", Mode.FINAL)])

    def decode(self, windows: Sequence[Window]) -> list[Hypothesis]:
        """Decode windows one by one; hot words are not heeded."""
        with self._decoder() as decoder:
            return [self._heard(decoder, window) for window in windows]

    @contextmanager
    def _decoder(self) -> Iterator[Any]:
        # Bounded by a decode: there are as many decoders as workers of the pool, unless another engine's turn to us.
        decoder = self._idle.get()
        try:
            yield decoder
        finally:
            self._idle.put(decoder)

    def _heard(self, decoder: Any, window: Window) -> Hypothesis:
        words: tuple[HeardWord, ...] = ()
        samples = np.clip(np.rint(window.waveform * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)
        if len(samples) >= _SHORTEST_SAMPLES and np.abs(samples).max() >= _QUIET_PEAK:
            # What it learned of the noise in one call must not change what it hears in the next.
            decoder.reinit_feat()
            decoder.start_utt()
            decoder.process_raw(samples.tobytes(), full_utt=True)
            decoder.end_utt()
            words = tuple(_words(decoder))
        return Hypothesis(
            text=" ".join(word.text for word in words),
            words=() if window.mode is Mode.INTERIM else words,
            avg_logprob=0.0,
            no_speech_prob=0.0 if words else 1.0,
            language="en",
            # It hears English in everything, so nothing is known about the language.
            language_probability=1.0 if window.language == "en" else 0.0,
            engine=NAME,
            model=MODEL,
        )


def _words(decoder: Any) -> Iterator[HeardWord]:
    """The words without marks of silence and noise; its own probabilities are 1 for right and wrong alike, so 0."""
    if decoder.hyp() is None:
        return
    for segment in decoder.seg():
        if segment.word.startswith(("<", "[", "+")):
            continue
        text = segment.word.partition("(")[0]  # `to(3)` is the third way to say it
        yield HeardWord(
            text, segment.start_frame / _FRAMES_PER_SECOND, (segment.end_frame + 1) / _FRAMES_PER_SECOND, 0.0
        )


@asynccontextmanager
async def open_engine(settings: SttSettings) -> AsyncIterator[SpeechEngine]:
    """Load the model that comes with the package, once per worker.

    Raises:
        EngineNotReady: the package is not installed, or came without its model.
    """
    started = monotonic()
    try:
        decoder = import_module("pocketsphinx").Decoder
        decoders = [
            await asyncio.to_thread(decoder, loglevel="FATAL", cmn="batch", dither=False)
            for _ in range(settings.workers)
        ]
    except ImportError as error:
        raise EngineNotReady(
            "STT_PROVIDER=pocketsphinx: it is not installed; run: pip install 'interview-analytics-agent[pocketsphinx]'"
        ) from error
    except (RuntimeError, ValueError) as error:
        raise EngineNotReady(f"STT_PROVIDER=pocketsphinx: its English model does not load: {error}") from error
    engine = PocketsphinxEngine(decoders)
    await asyncio.to_thread(engine.warm_up)
    log.info("engine_ready", engine=NAME, model=MODEL, workers=len(decoders), seconds=round(monotonic() - started, 2))
    yield engine
