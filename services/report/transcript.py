"""The transcript of one meeting as the analyser reads it: segments in time order, with who, when and where from.

Times are int milliseconds on the meeting's timeline.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from services.report.document import ParticipantCoverage


@dataclass(frozen=True, slots=True)
class Word:
    """One recognised word, as written in the segment's text."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class Segment:
    """One final utterance; it never changes once it was settled."""

    segment_id: str
    participant_id: str
    speaker: str
    start_ms: int
    end_ms: int
    text: str
    ordinal: int = 0
    words: tuple[Word, ...] = ()
    language: str = ""
    confidence: float = 0.0
    engine: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Transcript:
    """One revision of a meeting's record."""

    meeting_id: str
    revision: int
    segments: tuple[Segment, ...]
    held_on: date
    """Day of the meeting where it was held; due dates are counted from it."""
    title: str = ""
    mode: str = "interview"
    language: str = ""
    """ISO 639-1 code asked for when the meeting was started; empty: decided from the text."""
    length_ms: int = 0
    """Length of the meeting; 0: the end of the last segment."""
    coverage: tuple[ParticipantCoverage, ...] = ()
    speech_cost_usd: float = 0.0
    """What recognition was billed; 0 for models that run here."""

    @property
    def duration_ms(self) -> int:
        """Length of the meeting; never shorter than its last segment."""
        return max((self.length_ms, *(segment.end_ms for segment in self.segments)))

    @property
    def in_time_order(self) -> tuple[Segment, ...]:
        """Segments by start, then by order of settling; those without words are left out."""
        spoken = (segment for segment in self.segments if segment.text.strip())
        return tuple(sorted(spoken, key=lambda segment: (segment.start_ms, segment.ordinal, segment.segment_id)))

    @property
    def sha256(self) -> str:
        """Digest over the segments' identifiers and texts in order of settling, in hex."""
        digest = hashlib.sha256()
        for segment in sorted(self.segments, key=lambda segment: (segment.ordinal, segment.segment_id)):
            for field in (segment.segment_id, segment.text):
                encoded = field.encode("utf-8", "surrogatepass")
                digest.update(len(encoded).to_bytes(4, "big") + encoded)
        return digest.hexdigest()

    @property
    def speech_engines(self) -> tuple[str, ...]:
        """Engines and models behind the text, for example "demo/tiny-whisper", without repeats."""
        names = {"/".join(filter(None, (segment.engine, segment.model))) for segment in self.segments}
        return tuple(sorted(names - {""}))

    @property
    def texts(self) -> Mapping[str, str]:
        """Text by segment identifier."""
        return {segment.segment_id: segment.text for segment in self.segments}
