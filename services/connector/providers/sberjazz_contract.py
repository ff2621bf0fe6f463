"""The HTTP contract of SberJazz as shapes of requests and answers; docs/providers/sberjazz.md explains it."""

import base64
import binascii
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

HEALTH = "/v1/health"
JOIN = "/v1/meetings/{meeting_id}/join"
LEAVE = "/v1/meetings/{meeting_id}/leave"
STATUS = "/v1/meetings/{meeting_id}/status"
LIVE_PULL = "/v1/meetings/{meeting_id}/live-pull"

MAX_CHUNK_BYTES = 8 * 1024 * 1024
"""One chunk's audio, decoded."""
MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""One answer as it is sent: a page of chunks ends before it would be larger."""
MAX_CHUNKS = 500
"""Chunks in one page."""
MAX_NAME_CHARACTERS = 200

_DAY_MS = 24 * 3600 * 1000
_LAST_SEQUENCE = 2**63 - 1

Identifier: TypeAlias = Annotated[str, Field(min_length=1, max_length=48, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Cursor: TypeAlias = Annotated[str, Field(max_length=256)]


class CallState(StrEnum):
    """Where the recorder stands in a call."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    """Out though nobody asked for it; another join brings it back."""
    ENDED = "ended"
    """The call is over, or the recorder left it."""


class Speaker(StrEnum):
    """How the provider knows whose voice a chunk holds."""

    OWN_TRACK = "own_track"
    ROSTER = "roster"
    UNKNOWN = "unknown"


class Encoding(StrEnum):
    """What a chunk's audio is."""

    S16LE = "s16le"
    WAV = "wav"
    FLAC = "flac"
    OGG = "ogg"
    MP3 = "mp3"
    M4A = "m4a"
    WEBM = "webm"


class Shape(BaseModel):
    """A body of the contract; fields that we do not know are for later versions."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", hide_input_in_errors=True)


class Health(Shape):
    """Answer to `GET /v1/health`."""

    status: str


class JoinBody(Shape):
    """Body of a join."""

    call_url: str = ""
    """Link of the call as people have it; empty: the call that the provider knows by the meeting's id."""
    recorder_name: str = ""
    notice: str = ""
    """Posted in the call's chat."""
    language: str = ""


class Joined(Shape):
    """Answer to a join."""

    connection_id: Identifier
    """Of the recorder's stay in the call: the same for a repeated join, another after a leave."""
    state: CallState
    age_ms: Annotated[int, Field(ge=0, le=30 * _DAY_MS)] = 0
    """Time since the stay began, which is 0 on the timeline of its chunks."""
    notice_posted: bool = False


class LeaveBody(Shape):
    """Body of a leave."""

    reason: str = ""


class Status(Shape):
    """Answer to a leave and to a question for the status."""

    state: CallState


class Person(Shape):
    """Somebody in the call, the recorder aside."""

    participant_id: Annotated[str, Field(min_length=1, max_length=128)]
    name: str = ""
    muted: bool = False


class ChunkPart(Shape):
    """One chunk of a page."""

    sequence: Annotated[int, Field(ge=1, le=_LAST_SEQUENCE)]
    """Of the chunk within the stay, over all participants: a repeated number is the same chunk."""
    participant_id: Annotated[str, Field(max_length=128)] = ""
    name: str = ""
    speaker: Speaker = Speaker.OWN_TRACK
    start_ms: Annotated[int, Field(ge=0, le=30 * _DAY_MS)]
    encoding: Encoding = Encoding.S16LE
    sample_rate_hertz: Annotated[int, Field(ge=4_000, le=192_000)] = 16_000
    """Of s16le; every other encoding says its own."""
    audio: Annotated[bytes, Field(min_length=1, max_length=MAX_CHUNK_BYTES)]
    """Base64 in JSON."""

    @field_validator("audio", mode="before")
    @classmethod
    def _from_base64(cls, value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("must be base64 in a string")
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError("is not base64") from error

    @model_validator(mode="after")
    def _whole_samples(self) -> "ChunkPart":
        if self.encoding is Encoding.S16LE and len(self.audio) % 2:
            raise ValueError("holds half a sample")
        return self

    @property
    def least_ms(self) -> int:
        """Length of the audio where it can be told without decoding, else 0."""
        return len(self.audio) * 500 // self.sample_rate_hertz if self.encoding is Encoding.S16LE else 0


class Page(Shape):
    """Answer to a live-pull; every chunk is read by itself, so that a broken one does not cost the others."""

    chunks: Annotated[Sequence[Any], Field(max_length=MAX_CHUNKS)]
    next_cursor: Cursor
    participants: Annotated[Sequence[Person], Field(max_length=1000)] = ()
