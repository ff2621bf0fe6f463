"""Whisper through faster-whisper and CTranslate2: any size, any converted model directory."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ctranslate2 import get_cuda_device_count
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import Segment

from kit.clock import monotonic
from kit.telemetry import logs
from services.stt.audio import SAMPLE_RATE_HERTZ, Waveform
from services.stt.engines.engine import Capabilities, HeardWord, Hypothesis, Mode, SpeechEngine, Window
from services.stt.engines.model_files import locate_model
from services.stt.errors import EngineNotReady
from services.stt.models import tiny_whisper_directory
from services.stt.settings import SttSettings

NAME = "faster_whisper"

_FRAMES_PER_SECOND = 100
_INTERIM_FRAMES = (500, 1000, 1500, 3000)
"""Encoder contexts of interims: the encoder is most of the work, and grows with its context."""
_INTERIM_MARGIN_FRAMES = 250
"""Quiet frames after the speech, without which short contexts loop."""
_INTERIM_TOKENS_PER_SECOND = 12
_INTERIM_LEAST_TOKENS = 12

_REPETITIVE_COMPRESSION_RATIO = 2.4
_NO_SPEECH_PROBABILITY = 0.6
_UNSURE_LOGPROB = -1.0
_REPETITION_GUARD = {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3}

log = logs.get()
# The library writes a line for every decode.
logging.getLogger("faster_whisper").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class _Heard:
    """A language and how sure we are of it."""

    language: str
    probability: float


class WhisperEngine:
    """A loaded Whisper model.

    Everything is decoded at temperature 0: sampling cannot be seeded per decode, and a replay must read the same.
    """

    def __init__(
        self,
        model: WhisperModel,
        *,
        engine: str,
        name: str,
        workers: int,
        beam_size: int,
        note: str,
        invents: bool,
    ) -> None:
        self._model = model
        self._beam_size = beam_size
        languages = {code for code in model.supported_languages if self._language_token(code) is not None}
        self._capabilities = Capabilities(
            engine=engine,
            model=name,
            languages=frozenset(languages or {"en"}),
            word_times=True,
            punctuated=True,
            workers=workers,
            invents=invents,
            note=note,
        )

    @property
    def capabilities(self) -> Capabilities:
        """What the loaded model is and can do."""
        return self._capabilities

    def warm_up(self) -> None:
        """Decode a second of silence both ways.

        Raises:
            EngineNotReady: the model's files do not fit each other.
        """
        silence = np.zeros(SAMPLE_RATE_HERTZ, np.float32)
        try:
            for mode in Mode:
                self.decode([Window(silence, None, mode)])
        except (RuntimeError, ValueError) as error:
            raise EngineNotReady(
                f"the model {self._capabilities.model} was loaded but cannot decode ({error}); a model with 128 mel "
                "bands needs its preprocessor_config.json"
            ) from error

    def decode(self, windows: Sequence[Window]) -> list[Hypothesis]:
        """Decode windows one by one; on a CPU a batch of full contexts gains nothing."""
        return [self._interim(window) if window.mode is Mode.INTERIM else self._final(window) for window in windows]

    def _final(self, window: Window) -> Hypothesis:
        segments, heard = self._transcribe(window, {})
        if any(_is_repetitive(segment) for segment in segments):
            segments, heard = self._transcribe(window, _REPETITION_GUARD)
        return self._hypothesis([segment for segment in segments if not _is_repetitive(segment)], heard)

    def _transcribe(self, window: Window, options: dict[str, float]) -> tuple[list[Segment], _Heard]:
        if not len(window.waveform):
            return [], _Heard(window.language or "", 0.0)
        segments, info = self._model.transcribe(
            window.waveform,
            language=window.language,
            beam_size=self._beam_size,
            temperature=0.0,
            word_timestamps=True,
            condition_on_previous_text=False,
            compression_ratio_threshold=_REPETITIVE_COMPRESSION_RATIO,
            no_speech_threshold=_NO_SPEECH_PROBABILITY,
            log_prob_threshold=_UNSURE_LOGPROB,
            hotwords=" ".join(window.hot_words) or None,
            **options,
        )
        return list(segments), _Heard(info.language, float(info.language_probability))

    def _hypothesis(self, segments: Sequence[Segment], heard: _Heard) -> Hypothesis:
        words = [
            HeardWord(word.word.strip(), float(word.start), float(word.end), float(word.probability))
            for segment in segments
            for word in segment.words or ()
        ]
        lengths = [max(len(segment.tokens), 1) for segment in segments]
        return self._labelled(
            text="".join(segment.text for segment in segments).strip(),
            words=words,
            avg_logprob=_weighted((float(segment.avg_logprob) for segment in segments), lengths),
            no_speech_prob=_weighted((float(segment.no_speech_prob) for segment in segments), lengths),
            heard=heard,
        )

    def _interim(self, window: Window) -> Hypothesis:
        frames = len(window.waveform) * _FRAMES_PER_SECOND // SAMPLE_RATE_HERTZ
        features = self._features(window.waveform, _context_frames(frames))
        encoded = self._model.encode(features)
        heard = _Heard(window.language, 1.0) if window.language else self._detect(encoded)
        tokenizer = Tokenizer(
            self._model.hf_tokenizer, self._model.model.is_multilingual, task="transcribe", language=heard.language
        )
        hot_words = " ".join(window.hot_words) or None
        prompt = self._model.get_prompt(tokenizer, [], without_timestamps=True, hotwords=hot_words)
        most = _INTERIM_LEAST_TOKENS + _INTERIM_TOKENS_PER_SECOND * math.ceil(frames / _FRAMES_PER_SECOND)
        result = self._model.model.generate(
            encoded,
            [prompt],
            beam_size=1,
            max_length=min(len(prompt) + most, self._model.max_length),
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        score = float(result.scores[0])
        silent = result.no_speech_prob > _NO_SPEECH_PROBABILITY and score < _UNSURE_LOGPROB
        return self._labelled(
            text="" if silent else tokenizer.decode(result.sequences_ids[0]).strip(),
            words=(),
            avg_logprob=score,
            no_speech_prob=float(result.no_speech_prob),
            heard=heard,
        )

    def _features(self, waveform: Waveform, frames: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        features = self._model.feature_extractor(waveform)[:, :frames]
        return np.ascontiguousarray(np.pad(features, ((0, 0), (0, frames - features.shape[1]))))

    def _detect(self, encoded: Any) -> _Heard:
        if not self._model.model.is_multilingual:
            return _Heard("en", 1.0)
        token, probability = self._model.model.detect_language(encoded)[0][0]
        return _Heard(token.strip("<|>"), float(probability))

    def _language_token(self, code: str) -> int | None:
        token: int | None = self._model.hf_tokenizer.token_to_id(f"<|{code}|>")
        return token

    def _labelled(
        self, *, text: str, words: Iterable[HeardWord], avg_logprob: float, no_speech_prob: float, heard: _Heard
    ) -> Hypothesis:
        return Hypothesis(
            text=text,
            words=tuple(words) if text else (),
            avg_logprob=avg_logprob,
            no_speech_prob=no_speech_prob,
            language=heard.language,
            language_probability=heard.probability,
            engine=self._capabilities.engine,
            model=self._capabilities.model,
        )


@asynccontextmanager
async def open_engine(settings: SttSettings) -> AsyncIterator[SpeechEngine]:
    """Load the model that STT_MODEL names, downloading it if need be.

    Raises:
        EngineNotReady: it cannot be had or does not load.
    """
    located = await locate_model(settings.model, offline=settings.offline)
    # Our demonstration model invents text for human speech, by whatever name it is loaded.
    invents = located.directory.resolve() == tiny_whisper_directory().resolve()
    opening = open_whisper(located.directory, settings, engine=NAME, name=located.name, invents=invents)
    async with opening as engine:
        yield engine


@asynccontextmanager
async def open_whisper(
    directory: Path, settings: SttSettings, *, engine: str, name: str, note: str = "", invents: bool = False
) -> AsyncIterator[WhisperEngine]:
    """Load a checked model directory and warm it up.

    Raises:
        EngineNotReady: it does not load on this machine.
    """
    started = monotonic()
    device = settings.device if settings.device != "auto" else ("cuda" if get_cuda_device_count() else "cpu")
    # Threads of one worker share badly; workers of one thread share the weights and scale with the cores.
    workers = settings.workers if device == "cpu" else 1
    try:
        model = await asyncio.to_thread(
            WhisperModel,
            str(directory),
            device=device,
            compute_type=_compute_type(settings.compute_type, device),
            cpu_threads=1,
            num_workers=workers,
            local_files_only=True,
        )
    except (RuntimeError, ValueError) as error:
        raise EngineNotReady(
            f"the model in {directory} does not load with STT_DEVICE={settings.device}, "
            f"STT_COMPUTE_TYPE={settings.compute_type}: {error}"
        ) from error
    whisper = WhisperEngine(
        model,
        engine=engine,
        name=name,
        workers=workers,
        beam_size=settings.beam_size,
        note=note,
        invents=invents,
    )
    await asyncio.to_thread(whisper.warm_up)
    log.info(
        "engine_ready",
        engine=engine,
        model=name,
        device=device,
        workers=workers,
        seconds=round(monotonic() - started, 2),
    )
    yield whisper


def _compute_type(asked: str, device: str) -> str:
    if asked != "auto":
        return asked
    return "int8" if device == "cpu" else "float16"


def _context_frames(frames: int) -> int:
    """Return the shortest context that holds the window and its margin."""
    return next((context for context in _INTERIM_FRAMES if frames + _INTERIM_MARGIN_FRAMES <= context), 3000)


def _is_repetitive(segment: Segment) -> bool:
    return bool(segment.compression_ratio > _REPETITIVE_COMPRESSION_RATIO)


def _weighted(values: Iterable[float], weights: Sequence[int]) -> float:
    total = sum(weights)
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / total if total else 0.0
