"""Windows of different calls in one encode and one generate: what a GPU is for.

One generate may mix languages, but its prompts must be of one length and its contexts of one size: windows are put
together by these. A final that is out of the ordinary (it repeats itself, or ends before its sound does) is left to
the library's own way, one at a time, so that a batch never reads worse than a window alone.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.audio import pad_or_trim
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_compression_ratio, get_ctranslate2_storage, get_suppressed_tokens
from numpy.typing import NDArray

from services.stt.engines.engine import HeardWord, Mode, Window

FRAMES_PER_SECOND = 100
FULL_CONTEXT_FRAMES = 3000
REPETITIVE_COMPRESSION_RATIO = 2.4
NO_SPEECH_PROBABILITY = 0.6
UNSURE_LOGPROB = -1.0

_INTERIM_CONTEXTS = (400, 500, 600, 800, 1000, 1250, 1500, 2000, FULL_CONTEXT_FRAMES)
"""Encoder contexts of interims: the encoder is most of the work, and grows with its context; few, so that interims of
different calls still meet in a batch."""
_INTERIM_MARGIN_FRAMES = 250
"""Quiet frames after the speech, without which short contexts loop."""
_INTERIM_TOKENS_PER_SECOND = 12
_INTERIM_LEAST_TOKENS = 12
_LATEST_FIRST_TIMESTAMP = 50
"""The library's own bound, one second, in steps of 20 ms."""
_PREPENDED, _APPENDED = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"

Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Language:
    """A language and how sure we are of it."""

    code: str
    probability: float


@dataclass(frozen=True, slots=True)
class Read:
    """What the model read out of one window."""

    text: str
    words: tuple[HeardWord, ...]
    avg_logprob: float
    no_speech_prob: float
    language: Language


@dataclass(frozen=True, slots=True)
class _Kind:
    """What windows must have in common to be decoded together."""

    mode: Mode
    context_frames: int
    hot_tokens: int


class WhisperBatch:
    """Decodes windows together; may be used from several threads."""

    def __init__(self, model: WhisperModel, *, beam_size: int) -> None:
        self._model = model
        self._beam_size = beam_size

    def read(self, windows: Sequence[Window]) -> list[Read | None]:
        """Decode windows, in order; None for a final that has to be decoded alone."""
        groups: defaultdict[_Kind, list[int]] = defaultdict(list)
        for number, window in enumerate(windows):
            groups[self._kind(window)].append(number)
        found: list[Read | None] = [None] * len(windows)
        for kind, numbers in groups.items():
            together = [windows[number] for number in numbers]
            reads = self._interims(together, kind) if kind.mode is Mode.INTERIM else self._finals(together)
            for number, read in zip(numbers, reads, strict=True):
                found[number] = read
        return found

    def _kind(self, window: Window) -> _Kind:
        frames = len(window.waveform) * FRAMES_PER_SECOND // 16_000
        context = context_frames(frames) if window.mode is Mode.INTERIM else FULL_CONTEXT_FRAMES
        hot_words = _hot_words(window)
        tokens = len(self._model.hf_tokenizer.encode(hot_words, add_special_tokens=False).ids) if hot_words else 0
        return _Kind(window.mode, context, tokens)

    def _interims(self, windows: Sequence[Window], kind: _Kind) -> list[Read | None]:
        contexts = [_padded(self._model.feature_extractor(window.waveform), kind.context_frames) for window in windows]
        encoded = self._model.encode(np.stack(contexts))
        languages = self._languages(windows, encoded)
        tokenizers = [self._tokenizer(language) for language in languages]
        prompts = self._prompts(windows, tokenizers, timestamps=False)
        # The same bound for all of a context, so that a text does not depend on what is decoded beside it.
        spoken = kind.context_frames - (_INTERIM_MARGIN_FRAMES if kind.context_frames < FULL_CONTEXT_FRAMES else 0)
        most = _INTERIM_LEAST_TOKENS + _INTERIM_TOKENS_PER_SECOND * -(-spoken // FRAMES_PER_SECOND)
        results = self._model.model.generate(
            encoded,
            prompts,
            beam_size=1,
            max_length=min(len(prompts[0]) + most, self._model.max_length),
            return_scores=True,
            return_no_speech_prob=True,
        )
        reads: list[Read | None] = []
        for result, tokenizer, language in zip(results, tokenizers, languages, strict=True):
            score, no_speech = float(result.scores[0]), float(result.no_speech_prob)
            silent = no_speech > NO_SPEECH_PROBABILITY and score < UNSURE_LOGPROB
            text = "" if silent else tokenizer.decode(result.sequences_ids[0]).strip()
            reads.append(Read(text, (), score, no_speech, language))
        return reads

    def _finals(self, windows: Sequence[Window]) -> list[Read | None]:
        features = [self._model.feature_extractor(window.waveform)[:, :-1] for window in windows]
        encoded = self._model.encode(np.stack([pad_or_trim(each) for each in features]))
        languages = self._languages(windows, encoded)
        tokenizers = [self._tokenizer(language) for language in languages]
        results = self._model.model.generate(
            encoded,
            self._prompts(windows, tokenizers, timestamps=True),
            beam_size=self._beam_size,
            max_length=self._model.max_length,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=get_suppressed_tokens(tokenizers[0], [-1]),
            max_initial_timestamp_index=_LATEST_FIRST_TIMESTAMP,
        )
        rows = _rows(encoded)
        return [
            self._final(result, each.shape[1], rows[number : number + 1], tokenizers[number], languages[number])
            for number, (result, each) in enumerate(zip(results, features, strict=True))
        ]

    def _final(
        self, result: Any, frames: int, row: NDArray[Any], tokenizer: Tokenizer, language: Language
    ) -> Read | None:
        tokens = result.sequences_ids[0]
        avg_logprob = float(result.scores[0]) * len(tokens) / (len(tokens) + 1)
        no_speech = float(result.no_speech_prob)
        if no_speech > NO_SPEECH_PROBABILITY and avg_logprob <= UNSURE_LOGPROB:
            return Read("", (), avg_logprob, no_speech, language)
        if get_compression_ratio(tokenizer.decode(tokens).strip()) > REPETITIVE_COMPRESSION_RATIO:
            return None
        segments, reached, closed = self._model._split_segments_by_timestamps(
            tokenizer=tokenizer,
            tokens=tokens,
            time_offset=0.0,
            segment_size=frames,
            segment_duration=frames / FRAMES_PER_SECOND,
            seek=0,
        )
        self._model.add_word_timestamps(
            [segments], tokenizer, get_ctranslate2_storage(row), frames, _PREPENDED, _APPENDED, 0.0
        )
        words = tuple(
            HeardWord(word["word"].strip(), float(word["start"]), float(word["end"]), float(word["probability"]))
            for segment in segments
            for word in segment.get("words", ())
        )
        if not closed and words:
            reached = round(words[-1].end_seconds * FRAMES_PER_SECOND)
        if reached < frames:
            return None
        text = "".join(tokenizer.decode(segment["tokens"]) for segment in segments).strip()
        return Read(text, words if text else (), avg_logprob, no_speech, language)

    def _languages(self, windows: Sequence[Window], encoded: Any) -> list[Language]:
        given = [Language(window.language, 1.0) if window.language else None for window in windows]
        if all(given):
            return [language for language in given if language]
        if not self._model.model.is_multilingual:
            return [language or Language("en", 1.0) for language in given]
        detected = self._model.model.detect_language(encoded)
        return [
            language or Language(ranked[0][0].strip("<|>"), float(ranked[0][1]))
            for language, ranked in zip(given, detected, strict=True)
        ]

    def _tokenizer(self, language: Language) -> Tokenizer:
        multilingual = self._model.model.is_multilingual
        return Tokenizer(self._model.hf_tokenizer, multilingual, task="transcribe", language=language.code)

    def _prompts(
        self, windows: Sequence[Window], tokenizers: Sequence[Tokenizer], *, timestamps: bool
    ) -> list[list[int]]:
        return [
            self._model.get_prompt(tokenizer, [], without_timestamps=not timestamps, hotwords=_hot_words(window))
            for window, tokenizer in zip(windows, tokenizers, strict=True)
        ]


def context_frames(frames: int) -> int:
    """Return the shortest context of an interim that holds its frames and their margin."""
    fitting = (context for context in _INTERIM_CONTEXTS if frames + _INTERIM_MARGIN_FRAMES <= context)
    return next(fitting, FULL_CONTEXT_FRAMES)


def _padded(features: Features, frames: int) -> Features:
    cut = features[:, :frames]
    return np.pad(cut, ((0, 0), (0, frames - cut.shape[1])))


def _hot_words(window: Window) -> str | None:
    return " ".join(window.hot_words) or None


def _rows(encoded: Any) -> NDArray[Any]:
    """Return what the encoder said as an array in this machine's memory, one row per window."""
    on_host = encoded if encoded.device == "cpu" else encoded.to_device(ctranslate2.Device.cpu)
    return np.asarray(on_host)
