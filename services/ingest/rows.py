"""What the store keeps of a meeting, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.ingest.intake.session import MeetingKey


@dataclass(frozen=True, slots=True)
class Tenure:
    """One taking up of a meeting by one replica; whatever the meeting writes under it counts until the next one."""

    key: MeetingKey
    owner: str
    epoch: int
    """Of the fence beside the journals."""


@dataclass(frozen=True, slots=True)
class ParticipantRow:
    """One voice; times in milliseconds on the meeting's timeline."""

    participant_id: str
    display_name: str
    basis: str
    language: str
    joined_ms: int
    left_ms: int | None = None


QUICK_RECORDING = "quick_recording"
"""Key of a meeting's context under which it says what is to become of its sound."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to become of a meeting's sound, beyond the recording."""

    text: bool = True
    report: bool = True

    @classmethod
    def of(cls, context: Mapping[str, Any]) -> "Wanted":
        """Read a meeting's context: `{"quick_recording": {"text": false, "report": false}}` is sound alone."""
        said = context.get(QUICK_RECORDING)
        if not isinstance(said, Mapping):
            return cls()
        return cls(said.get("text") is not False, said.get("report") is not False)


@dataclass(frozen=True, slots=True)
class MeetingRow:
    """One meeting; `segments` counts its finals."""

    meeting_id: str
    tenant_id: str
    title: str
    mode: str
    state: str
    language: str
    provider: str
    provider_ref: str
    context: Mapping[str, Any]
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    duration_ms: int
    revision: int
    report_state: str
    segments: int = 0
    participants: Sequence[ParticipantRow] = field(default=())

    @property
    def over(self) -> bool:
        """Whether it takes no more audio."""
        return self.state in ("finishing", "finished", "failed")


@dataclass(frozen=True, slots=True)
class NewMeeting:
    """A meeting to be; `request_id` may be empty."""

    meeting_id: str
    tenant_id: str
    title: str
    mode: str
    language: str
    provider: str
    provider_ref: str
    context: Mapping[str, Any]
    request_id: str
    created_by: str


@dataclass(frozen=True, slots=True)
class WordRow:
    """One word; milliseconds on the meeting's timeline."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One final."""

    segment_id: str
    meeting_id: str
    ordinal: int
    participant_id: str
    speaker: str
    start_ms: int
    end_ms: int
    text: str
    words: Sequence[WordRow]
    language: str
    confidence: float
    engine: str
    model: str


@dataclass(frozen=True, slots=True)
class NewSegment:
    """A final to be stored with the cursor behind it; samples on the meeting's timeline."""

    participant_id: str
    speaker: str
    start_sample: int
    end_sample: int
    decided_sample: int
    text: str
    words: Sequence[WordRow]
    language: str
    confidence: float
    engine: str
    model: str
    cost_usd: float = 0.0
    """What the engine takes for it."""


@dataclass(frozen=True, slots=True)
class TrackProgress:
    """How far a track had come: everything before `cursor_sample` is decided, `finals` are `(start, end, words)`."""

    cursor_sample: int
    finals: Sequence[tuple[int, int, int]]
    pinned_language: str = ""
    """Language that a final was sure of; empty before there was one."""


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """One interval of one participant."""

    participant_id: str
    start_ms: int
    end_ms: int
    kind: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Everything that is stored when a meeting is finished."""

    end_time: datetime
    duration_ms: int
    coverage: Sequence[CoverageRow]
    participants: Sequence[ParticipantRow]
    session_ids: Sequence[str]
    """Rows of `audio_sessions` that are settled with it."""


@dataclass(frozen=True, slots=True)
class Documents:
    """What the report room made of a meeting: the clean transcript's blob and the report as protobuf JSON."""

    clean_blob_key: str | None
    report: Mapping[str, Any] | None
