"""The speech engine as the room sees it: windows of sound in, hypotheses out."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from services.stt.audio import Waveform
from services.stt.settings import SttSettings


class Mode(Enum):
    """What a decode is for."""

    INTERIM = "interim"
    """Soon and cheap: text alone, to be replaced."""
    FINAL = "final"
    """As good as the engine can, with word times; the same window gives the same hypothesis every time."""


@dataclass(frozen=True, slots=True)
class Window:
    """Sound to decode: one utterance, or the beginning of one."""

    waveform: Waveform
    """16 kHz mono, at most 30 s."""
    language: str | None
    """ISO 639-1 code; None to detect it."""
    mode: Mode
    hot_words: tuple[str, ...] = ()
    """Words to expect; empty for none."""
    far: bool = False
    """Whether it sounds as from across a room, where models mishear: what they say must be surer then."""


@dataclass(frozen=True, slots=True)
class HeardWord:
    """One word with its time, in seconds from the window's first sample."""

    text: str
    start_seconds: float
    end_seconds: float
    probability: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What an engine heard; an empty text means nothing was said."""

    text: str
    words: tuple[HeardWord, ...]
    """In time order; empty for interims and for engines without word times."""
    avg_logprob: float
    """Mean natural logarithm of the tokens' probabilities."""
    no_speech_prob: float
    language: str
    language_probability: float
    """1.0 when the language was given; 0.0 when the engine does not say how sure it is."""
    engine: str
    model: str
    cost_usd: float = 0.0
    """What this decode was billed."""

    @property
    def confidence(self) -> float:
        """Mean probability of the words in [0, 1]; without words the tokens'; 0.0 if the engine says neither."""
        if self.words:
            return sum(word.probability for word in self.words) / len(self.words)
        return math.exp(self.avg_logprob) if self.text and self.avg_logprob < 0 else 0.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine is and can do."""

    engine: str
    model: str
    languages: frozenset[str] | None
    """ISO 639-1 codes; None for any."""
    word_times: bool
    punctuated: bool
    workers: int
    """Decodes that gain from running at the same time."""
    batch: int = 1
    """Windows that gain from being in one decode."""
    interims: bool = True
    """Whether the beginning of an utterance may be decoded again and again as it grows."""
    cost_per_minute_usd: float = 0.0
    """Price of a minute of decoded sound."""
    remote: bool = False
    """Asked over a network: it may be away, and come back."""
    invents: bool = False
    """Says what nobody said: for tests and demonstrations, never in the place of another engine."""
    least_confidence: float = 0.0
    """A final less sure than this is invention, as measured for the model; 0.0 to believe everything."""
    far_least_confidence: float = 0.0
    """The same for a voice from across a room, where it is above that."""
    note: str = ""
    """What a user must know; empty for nothing."""


class SpeechEngine(Protocol):
    """A loaded engine. Methods block, and `decode` may be called from several threads at once."""

    @property
    def capabilities(self) -> Capabilities: ...

    def warm_up(self) -> None:
        """Decode something once, so that the first caller does not wait.

        Raises:
            EngineNotReady: the model cannot decode.
        """
        ...

    def decode(self, windows: Sequence[Window]) -> list[Hypothesis]:
        """Decode windows, one hypothesis each, in order.

        Raises:
            WindowRefused: the engine is well, but will not have this sound.
            EngineFailed: the engine cannot decode now. Any other exception means the same.
        """
        ...


EngineFactory = Callable[[SttSettings], AbstractAsyncContextManager[SpeechEngine]]
"""What an entry point of the group `interview_agent.speech_engines` names: opens an engine for a block."""
