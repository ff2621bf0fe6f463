"""The transcription endpoint as the OpenAPI document tells it."""

from typing import Any

from gateway.rest.multipart import MEDIA_TYPE
from gateway.speech.answers import FORMATS, GRANULARITIES

PATH = "/v1/audio/transcriptions"


def operation() -> dict[str, Any]:
    """Return the operation at PATH."""
    text = {"schema": {"type": "string"}}
    return {
        "operationId": "createTranscription",
        "tags": ["Transcriptions"],
        "summary": "Turns an audio file into text, with OpenAI's interface",
        "description": "Programs that speak OpenAI's API need only the address and a key. The model is the one that "
        "this installation has, whatever is asked for; `temperature` is ignored. Failures have OpenAI's shape.",
        "x-callers": ["user", "service"],
        "requestBody": {"required": True, "content": {MEDIA_TYPE: {"schema": _form()}}},
        "responses": {
            "200": {
                "description": "The text.",
                "content": {"application/json": {"schema": _answer()}, "text/plain": text},
            },
            "default": {"description": "A failure.", "content": {"application/json": {"schema": _failure()}}},
        },
    }


def _form() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "file": {"type": "string", "format": "binary", "description": "WAV, FLAC, Ogg, MP3, M4A or WebM."},
            "model": {"type": "string", "description": "Any name; ignored."},
            "language": {"type": "string", "description": "ISO 639-1 code; found out if not given."},
            "prompt": {"type": "string", "description": "Words to expect, between commas."},
            "response_format": {"type": "string", "enum": list(FORMATS), "default": "json"},
            "temperature": {"type": "number", "description": "Ignored."},
            "timestamp_granularities[]": {
                "type": "array",
                "items": {"type": "string", "enum": list(GRANULARITIES)},
                "description": "What verbose_json has times of; segments if not given.",
            },
        },
        "required": ["file"],
    }


def _answer() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "task": {"type": "string"},
            "language": {"type": "string"},
            "duration": {"type": "number"},
            "segments": {"type": "array", "items": {"type": "object"}},
            "words": {"type": "array", "items": {"type": "object"}},
        },
        "required": ["text"],
    }


def _failure() -> dict[str, Any]:
    error = {
        "type": "object",
        "properties": {
            "message": {"type": "string"},
            "type": {"type": "string"},
            "param": {"type": ["string", "null"]},
            "code": {"type": ["string", "null"]},
        },
        "required": ["message", "type", "param", "code"],
    }
    return {"type": "object", "properties": {"error": error}, "required": ["error"]}
