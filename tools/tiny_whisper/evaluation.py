"""How well a model directory hears: synthetic sentences of held-out voices, through the engine that the stt room runs.

The sentences and voices depend on the seed alone, so figures of two models compare. Each sentence lies in a little
silence, as endpointing leaves it. Where the language is not detected rightly, the text is heard again with it given.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import jiwer
import numpy as np

from examples.interview.espeak import load_synthesiser
from examples.interview.interview import SAMPLE_RATE_HERTZ
from examples.interview.words import normalise
from services.stt.audio import Waveform, to_waveform
from services.stt.engines.engine import Hypothesis, Mode, SpeechEngine, Window
from services.stt.engines.faster_whisper import open_whisper
from services.stt.engines.model_files import check_files
from services.stt.settings import SttSettings
from tools.tiny_whisper.language import CODES
from tools.tiny_whisper.synthesis import Kind, SpokenSentence, speak_some

SEED = 7
_BEFORE_SECONDS = 0.25
_AFTER_SECONDS = 0.3


@dataclass(slots=True)
class Score:
    """How one language, said in one way, is heard."""

    language: str
    kind: Kind
    references: list[str] = field(default_factory=list)
    hypotheses: list[str] = field(default_factory=list)
    exact: int = 0
    """Texts that are right to the last mark."""
    detected: int = 0
    """Languages that are detected rightly."""
    start_errors: list[float] = field(default_factory=list)
    """How far each word's start is off, in seconds; of sentences with all words right."""

    def add(self, spoken: SpokenSentence, heard: Hypothesis, language: str) -> None:
        """Take note of one sentence."""
        self.references.append(normalise(spoken.text))
        self.hypotheses.append(normalise(heard.text))
        self.exact += heard.text == spoken.text
        self.detected += language == spoken.language
        if self.references[-1] == self.hypotheses[-1] and len(heard.words) == len(spoken.word_times):
            self.start_errors += [
                abs(word.start_seconds - _BEFORE_SECONDS - start)
                for word, (start, _) in zip(heard.words, spoken.word_times, strict=True)
            ]

    @property
    def sentences(self) -> int:
        """How many were said."""
        return len(self.references)

    @property
    def word_error_rate(self) -> float:
        """Wrong, missing and invented words over words said."""
        return float(jiwer.wer(self.references, self.hypotheses))

    @property
    def exact_share(self) -> float:
        """Share of texts that are right to the last mark."""
        return self.exact / self.sentences

    @property
    def detected_share(self) -> float:
        """Share of languages that are detected rightly."""
        return self.detected / self.sentences

    @property
    def start_error_median(self) -> float:
        """Median error of a word's start in seconds; NaN if no sentence was right."""
        return median(self.start_errors) if self.start_errors else math.nan

    @property
    def start_error_p90(self) -> float:
        """The error of a word's start that a tenth exceeds, in seconds; NaN if no sentence was right."""
        return float(np.percentile(self.start_errors, 90)) if self.start_errors else math.nan


async def evaluate(
    directory: Path,
    *,
    sentences: int,
    seed: int = SEED,
    kinds: Sequence[Kind] = tuple(Kind),
    say: Callable[[str], None],
) -> list[Score]:
    """Let a model hear.

    Args:
        directory: of any CTranslate2 Whisper.
        sentences: of each language and kind.
        seed: other seeds say other sentences.
        kinds: what is said.
        say: told of each score.

    Raises:
        EngineNotReady: the directory holds no whole model.
        SynthesiserMissing: espeak-ng is not installed.
    """
    settings = SttSettings(provider=("faster_whisper",), model=str(directory), threads=1, offline=True)
    opening = open_whisper(check_files(directory), settings, engine="evaluated", name=directory.name)
    scores = []
    async with opening as engine:
        for language in CODES:
            for kind in kinds:
                score = _score(engine, language, kind, sentences, seed)
                say(
                    f"evaluate: {language}, {kind.value}: {score.word_error_rate:.1%} word errors, "
                    f"{score.exact_share:.0%} exact"
                )
                scores.append(score)
    return scores


def _score(engine: SpeechEngine, language: str, kind: Kind, sentences: int, seed: int) -> Score:
    score = Score(language, kind)
    said = f"{seed}/{language}/{kind.name}"
    for spoken in speak_some(load_synthesiser(), language, (kind,), sentences, seed=said, held_out=True):
        waveform = _surrounded(spoken)
        [heard] = engine.decode([Window(waveform, None, Mode.FINAL)])
        detected = heard.language
        if detected != language:
            [heard] = engine.decode([Window(waveform, language, Mode.FINAL)])
        score.add(spoken, heard, detected)
    return score


def _surrounded(spoken: SpokenSentence) -> Waveform:
    before, after = (round(seconds * SAMPLE_RATE_HERTZ) for seconds in (_BEFORE_SECONDS, _AFTER_SECONDS))
    return np.pad(to_waveform(spoken.pcm), (before, after))
