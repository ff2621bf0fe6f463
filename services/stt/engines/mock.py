"""An engine that hears nothing and says sentences of a script: for load tests, at a set pace, the same every time."""

import time
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.stt.audio import SAMPLE_RATE_HERTZ, Waveform, samples_of
from services.stt.engines.engine import Capabilities, HeardWord, Hypothesis, Mode, SpeechEngine, Window
from services.stt.settings import SttSettings

NAME = "mock"
MODEL = "script"
SCRIPT = (
    "Tell me about your last project.",
    "We moved the service to a new queue and it took two weeks.",
    "What was the hardest part of it?",
    "The tests were slow so we ran them at night.",
    "Who decided what to build first?",
    "I did that together with the designer.",
)
_WORDS_PER_SECOND = 2.5
_OPENING_SAMPLES = samples_of(0.5)
_PROBABILITY = 0.9
_LOGPROB = -0.1


class MockEngine:
    """Chooses a sentence by the utterance's first half second, so an interim and its final agree."""

    def __init__(self, *, script: Sequence[str], seed: int, seconds_per_decode: float, workers: int) -> None:
        self._script = tuple(script)
        self._seed = seed
        self._seconds_per_decode = seconds_per_decode
        self._capabilities = Capabilities(
            engine=NAME,
            model=MODEL,
            languages=None,
            word_times=True,
            punctuated=True,
            workers=workers,
            invents=True,
            note="says sentences of a script; for load tests",
        )

    @property
    def capabilities(self) -> Capabilities:
        """What the engine pretends to be."""
        return self._capabilities

    def warm_up(self) -> None:
        """Do nothing: there is no model."""

    def decode(self, windows: Sequence[Window]) -> list[Hypothesis]:
        """Say a sentence for each window, after the set time."""
        return [self._say(window) for window in windows]

    def _say(self, window: Window) -> Hypothesis:
        time.sleep(self._seconds_per_decode)
        words = self._sentence(window.waveform).split()
        seconds = len(window.waveform) / SAMPLE_RATE_HERTZ
        if window.mode is Mode.INTERIM:
            words = words[: int(seconds * _WORDS_PER_SECOND)]
        step = seconds / max(len(words), 1)
        heard = [HeardWord(word, i * step, (i + 1) * step, _PROBABILITY) for i, word in enumerate(words)]
        return Hypothesis(
            text=" ".join(words),
            words=() if window.mode is Mode.INTERIM else tuple(heard),
            avg_logprob=_LOGPROB,
            no_speech_prob=0.0,
            language=window.language or "en",
            language_probability=1.0,
            engine=NAME,
            model=MODEL,
        )

    def _sentence(self, waveform: Waveform) -> str:
        return self._script[zlib.crc32(waveform[:_OPENING_SAMPLES].tobytes(), self._seed) % len(self._script)]


@asynccontextmanager
async def open_engine(settings: SttSettings) -> AsyncIterator[SpeechEngine]:
    """Open the engine with its built-in script."""
    yield MockEngine(
        script=SCRIPT,
        seed=settings.mock_seed,
        seconds_per_decode=settings.mock_seconds_per_decode,
        workers=settings.workers,
    )
