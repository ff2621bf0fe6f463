"""What a transcription service answers: `verbose_json` with words and segments, or text alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ValidationError

from services.stt.engines.engine import HeardWord
from services.stt.engines.language_names import language_code
from services.stt.errors import EngineFailed

_REPETITIVE_COMPRESSION_RATIO = 2.4
_NO_SPEECH_PROBABILITY = 0.6
_UNSURE_LOGPROB = -1.0


def _list(value: object) -> object:
    return [] if value is None else value  # some servers write null for what they do not have


class _Word(BaseModel):
    word: str
    start: float
    end: float
    probability: float | None = None


class _Segment(BaseModel):
    start: float = 0.0
    end: float = 0.0
    text: str = ""
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None


class _Answer(BaseModel):
    text: str
    language: str | None = None
    language_probability: float | None = None
    words: Annotated[list[_Word], BeforeValidator(_list)] = []
    segments: Annotated[list[_Segment], BeforeValidator(_list)] = []


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer in our own terms; what the service does not say is empty or 0."""

    text: str = ""
    words: tuple[HeardWord, ...] = ()
    avg_logprob: float = 0.0
    no_speech_prob: float = 0.0
    language: str = ""
    """ISO 639-1 code."""
    language_probability: float = 0.0


def read_answer(answer: object) -> Heard:
    """Read a service's answer, leaving out what its model invented for silence.

    Raises:
        EngineFailed: it is not an answer of this interface.
    """
    try:
        said = _Answer.model_validate(answer)
    except ValidationError as error:
        places = {".".join(map(str, problem["loc"])) or "the whole" for problem in error.errors(include_input=False)}
        raise EngineFailed(
            f"the answer is not a transcription ({', '.join(sorted(places))} is wrong): is OPENAI_BASE_URL right?"
        ) from None
    kept = [segment for segment in said.segments if not _is_invented(segment)]
    if len(kept) == len(said.segments):
        text, words = said.text, said.words
    else:
        text = "".join(segment.text for segment in kept)
        words = [word for word in said.words if any(_holds(segment, word) for segment in kept)]
    text = text.strip()
    return Heard(
        text=text,
        words=tuple(_heard(word, kept) for word in words if word.word.strip()) if text else (),
        avg_logprob=_mean([(segment.avg_logprob, segment) for segment in kept]),
        no_speech_prob=_mean([(segment.no_speech_prob, segment) for segment in kept]),
        language=language_code(said.language or ""),
        language_probability=said.language_probability or 0.0,
    )


def _is_invented(segment: _Segment) -> bool:
    silent = (segment.no_speech_prob or 0.0) > _NO_SPEECH_PROBABILITY
    unsure = (segment.avg_logprob or 0.0) < _UNSURE_LOGPROB
    return (silent and unsure) or (segment.compression_ratio or 0.0) > _REPETITIVE_COMPRESSION_RATIO


def _holds(segment: _Segment, word: _Word) -> bool:
    return segment.start <= (word.start + word.end) / 2 <= segment.end


def _heard(word: _Word, segments: Sequence[_Segment]) -> HeardWord:
    """A word with a probability: its own, or that of its segment's tokens; 0 when the service says neither."""
    probability = word.probability
    if probability is None:
        around = next((segment.avg_logprob for segment in segments if _holds(segment, word)), None)
        probability = 0.0 if around is None else math.exp(min(around, 0.0))
    start = max(word.start, 0.0)
    return HeardWord(word.word.strip(), start, max(word.end, start), min(max(probability, 0.0), 1.0))


def _mean(values: Sequence[tuple[float | None, _Segment]]) -> float:
    """Mean of the values that are there, by the segments' lengths."""
    weighted = [(value, max(segment.end - segment.start, 0.01)) for value, segment in values if value is not None]
    total = sum(weight for _, weight in weighted)
    return sum(value * weight for value, weight in weighted) / total if total else 0.0
