"""Whisper through faster-whisper and CTranslate2: any size, any converted model directory."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from ctranslate2 import get_cuda_device_count
from faster_whisper import WhisperModel
from faster_whisper.transcribe import Segment

from kit import progress
from kit.clock import monotonic
from kit.telemetry import logs
from services.stt.audio import SAMPLE_RATE_HERTZ
from services.stt.engines.engine import Capabilities, HeardWord, Hypothesis, Mode, SpeechEngine, Window
from services.stt.engines.model_files import locate_model
from services.stt.engines.whisper_batch import (
    NO_SPEECH_PROBABILITY,
    REPETITIVE_COMPRESSION_RATIO,
    UNSURE_LOGPROB,
    Language,
    Read,
    WhisperBatch,
)
from services.stt.errors import EngineNotReady
from services.stt.models import tiny_whisper_directory
from services.stt.settings import SttSettings

NAME = "faster_whisper"

_REPETITION_GUARD = {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3}
_GPU_BATCH = 16
"""Windows in one decode on a GPU; half of it keeps a small one busy, twice as many add delay."""

log = logs.get()
# The library writes a line for every decode.
logging.getLogger("faster_whisper").setLevel(logging.WARNING)


class WhisperEngine:
    """A loaded Whisper model.

    Everything is decoded at temperature 0: sampling cannot be seeded per decode, and a replay must read the same. On a
    GPU the size of a batch may still change a last digit, and with it, rarely, a word.
    """

    def __init__(
        self,
        model: WhisperModel,
        *,
        engine: str,
        name: str,
        workers: int,
        batch: int,
        beam_size: int,
        note: str,
        invents: bool,
        least_confidence: float,
        far_least_confidence: float,
    ) -> None:
        self._model = model
        self._beam_size = beam_size
        self._batch = WhisperBatch(model, beam_size=beam_size)
        languages = {code for code in model.supported_languages if self._language_token(code) is not None}
        self._capabilities = Capabilities(
            engine=engine,
            model=name,
            languages=frozenset(languages or {"en"}),
            word_times=True,
            punctuated=True,
            workers=workers,
            batch=batch,
            invents=invents,
            least_confidence=least_confidence,
            far_least_confidence=far_least_confidence,
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
                if self._capabilities.batch > 1:
                    self.decode([Window(silence, None, mode)] * self._capabilities.batch)
        except (RuntimeError, ValueError) as error:
            raise EngineNotReady(
                f"the model {self._capabilities.model} was loaded but cannot decode ({error}); a model with 128 mel "
                "bands needs its preprocessor_config.json"
            ) from error

    def decode(self, windows: Sequence[Window]) -> list[Hypothesis]:
        """Decode windows together where that gains something: on a CPU a batch of full contexts does not."""
        if self._capabilities.batch > 1 and len(windows) > 1:
            return self._together(windows)
        return [self._final(window) if window.mode is Mode.FINAL else self._together([window])[0] for window in windows]

    def _together(self, windows: Sequence[Window]) -> list[Hypothesis]:
        numbers = [number for number, window in enumerate(windows) if len(window.waveform)]
        reads = dict(zip(numbers, self._batch.read([windows[number] for number in numbers]), strict=True))
        return [
            self._final(window) if (read := reads.get(number)) is None else self._labelled(read)
            for number, window in enumerate(windows)
        ]

    def _final(self, window: Window) -> Hypothesis:
        segments, heard = self._transcribe(window, {})
        if any(_is_repetitive(segment) for segment in segments):
            segments, heard = self._transcribe(window, _REPETITION_GUARD)
        return self._hypothesis([segment for segment in segments if not _is_repetitive(segment)], heard)

    def _transcribe(self, window: Window, options: dict[str, float]) -> tuple[list[Segment], Language]:
        if not len(window.waveform):
            return [], Language(window.language or "", 0.0)
        segments, info = self._model.transcribe(
            window.waveform,
            language=window.language,
            beam_size=self._beam_size,
            temperature=0.0,
            word_timestamps=True,
            condition_on_previous_text=False,
            compression_ratio_threshold=REPETITIVE_COMPRESSION_RATIO,
            no_speech_threshold=NO_SPEECH_PROBABILITY,
            log_prob_threshold=UNSURE_LOGPROB,
            hotwords=" ".join(window.hot_words) or None,
            **options,
        )
        return list(segments), Language(info.language, float(info.language_probability))

    def _hypothesis(self, segments: Sequence[Segment], language: Language) -> Hypothesis:
        words = [
            HeardWord(word.word.strip(), float(word.start), float(word.end), float(word.probability))
            for segment in segments
            for word in segment.words or ()
        ]
        text = "".join(segment.text for segment in segments).strip()
        lengths = [max(len(segment.tokens), 1) for segment in segments]
        return self._labelled(
            Read(
                text=text,
                words=tuple(words) if text else (),
                avg_logprob=_weighted((float(segment.avg_logprob) for segment in segments), lengths),
                no_speech_prob=_weighted((float(segment.no_speech_prob) for segment in segments), lengths),
                language=language,
            )
        )

    def _language_token(self, code: str) -> int | None:
        token: int | None = self._model.hf_tokenizer.token_to_id(f"<|{code}|>")
        return token

    def _labelled(self, read: Read) -> Hypothesis:
        return Hypothesis(
            text=read.text,
            words=read.words,
            avg_logprob=read.avg_logprob,
            no_speech_prob=read.no_speech_prob,
            language=read.language.code,
            language_probability=read.language.probability,
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
    progress.tell(f"loading {name}")
    device = settings.device if settings.device != "auto" else ("cuda" if get_cuda_device_count() else "cpu")
    # Threads of one worker share badly; workers of one thread share the weights and scale with the cores.
    # A GPU is one worker that decodes many windows at a time.
    workers = settings.workers if device == "cpu" else 1
    batch = settings.batch or (1 if device == "cpu" else _GPU_BATCH)
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
        batch=batch,
        beam_size=settings.beam_size,
        note=note,
        invents=invents,
        least_confidence=settings.least_confidence,
        far_least_confidence=settings.far_least_confidence,
    )
    await asyncio.to_thread(whisper.warm_up)
    log.info(
        "engine_ready",
        engine=engine,
        model=name,
        device=device,
        workers=workers,
        batch=batch,
        seconds=round(monotonic() - started, 2),
    )
    yield whisper


def _compute_type(asked: str, device: str) -> str:
    if asked != "auto":
        return asked
    return "int8" if device == "cpu" else "float16"


def _is_repetitive(segment: Segment) -> bool:
    return bool(segment.compression_ratio > REPETITIVE_COMPRESSION_RATIO)


def _weighted(values: Iterable[float], weights: Sequence[int]) -> float:
    total = sum(weights)
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / total if total else 0.0
