"""Transcriptions in the shapes that OpenAI's API gives them: json, text, srt, verbose_json, vtt."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from agent.stt.v1 import stt_service_pb2 as stt

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
GRANULARITIES = ("segment", "word")

_LANGUAGES = {
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "it": "italian",
    "pl": "polish",
    "pt": "portuguese",
    "ru": "russian",
    "uk": "ukrainian",
}
"""The names that clients know; other languages are given by their code."""
_TEXT = "text/plain; charset=utf-8"
_LEAST_CONFIDENCE = 1e-6


@dataclass(frozen=True, slots=True)
class Transcription:
    """What was recognised: one final per utterance, and the length of the sound."""

    finals: Sequence[stt.Final]
    seconds: float

    @property
    def text(self) -> str:
        """The whole text."""
        return " ".join(final.text.strip() for final in self.finals if final.text.strip())

    @property
    def language(self) -> str:
        """Language of most of the text, by its code; empty if nothing was said."""
        spoken: dict[str, int] = {}
        for final in self.finals:
            spoken[final.language] = spoken.get(final.language, 0) + len(final.text)
        return max(spoken, key=lambda code: spoken[code], default="")


def answer(transcription: Transcription, shape: str, granularities: frozenset[str]) -> Response:
    """Return the response in one of FORMATS; granularities matter to verbose_json alone."""
    headers = {"cache-control": "no-store"}
    match shape:
        case "text":
            return Response(f"{transcription.text}\n", headers=headers, media_type=_TEXT)
        case "srt":
            return Response(_srt(transcription.finals), headers=headers, media_type=_TEXT)
        case "vtt":
            return Response(_vtt(transcription.finals), headers=headers, media_type=_TEXT)
        case "verbose_json":
            document = _verbose(transcription, granularities)
        case _:
            document = {"text": transcription.text}
    return Response(orjson.dumps(document), headers=headers, media_type="application/json")


def _verbose(transcription: Transcription, granularities: frozenset[str]) -> dict[str, Any]:
    code = transcription.language
    document: dict[str, Any] = {
        "task": "transcribe",
        "language": _LANGUAGES.get(code, code),
        "duration": round(transcription.seconds, 3),
        "text": transcription.text,
    }
    if "word" in granularities:
        document["words"] = [
            {"word": word.text, "start": word.start_ms / 1000, "end": word.end_ms / 1000}
            for final in transcription.finals
            for word in final.words
        ]
    if "segment" in granularities:
        document["segments"] = [_segment(number, final) for number, final in enumerate(transcription.finals)]
    return document


def _segment(number: int, final: stt.Final) -> dict[str, Any]:
    """Return a segment. Some fields are of one model's insides: they are what they are where there is no such thing."""
    data = final.text.encode()
    return {
        "id": number,
        "start": final.start_sample / 16_000,
        "end": final.end_sample / 16_000,
        "text": final.text,
        "avg_logprob": round(math.log(max(final.confidence, _LEAST_CONFIDENCE)), 4),
        "compression_ratio": round(len(data) / len(zlib.compress(data)), 4) if data else 0.0,
        "no_speech_prob": 0.0,
        "seek": 0,
        "temperature": 0.0,
        "tokens": [],
    }


def _srt(finals: Sequence[stt.Final]) -> str:
    cues = (
        f"{number}\n{_clock(final.start_sample, ',')} --> {_clock(final.end_sample, ',')}\n{_line(final)}\n"
        for number, final in enumerate(finals, 1)
    )
    return "\n".join(cues)


def _vtt(finals: Sequence[stt.Final]) -> str:
    cues = (
        f"{_clock(final.start_sample, '.')} --> {_clock(final.end_sample, '.')}\n"
        f"{_line(final).replace('&', '&amp;').replace('<', '&lt;')}\n"
        for final in finals
    )
    return "\n".join(["WEBVTT\n", *cues])


def _line(final: stt.Final) -> str:
    """Return the text on one line; an arrow in it would read as a line of times."""
    return " ".join(final.text.split()).replace("-->", "→")


def _clock(sample: int, mark: str) -> str:
    seconds, milliseconds = divmod(sample // 16, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{mark}{milliseconds:03}"
