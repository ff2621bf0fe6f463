"""The report as a document of claims: a claim without evidence cannot be constructed.

The fields are those of agent.common.v1.Report; `wire` maps one to the other.
Times are int milliseconds on the meeting's timeline; characters are code points of the segment's text.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class Origin(StrEnum):
    """Where a claim comes from."""

    EXTRACTIVE = "extractive"
    RULE = "rule"
    MODEL = "model"
    HUMAN = "human"


class Confidence(StrEnum):
    """How sure the analyser is; a coarse label, since a rule has no probability."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class ActionKind(StrEnum):
    """A promise or a request."""

    COMMITMENT = "commitment"
    REQUEST = "request"


class UnfoundedClaim(ValueError):
    """A claim, phrase or quotation that rests on nothing."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A quotation: quote == segment.text[char_start:char_end]; `verification` checks it against the segments."""

    segment_id: str
    char_start: int
    char_end: int
    quote: str
    participant_id: str
    speaker: str
    start_ms: int
    end_ms: int

    def __post_init__(self) -> None:
        if not self.segment_id or not self.quote.strip():
            raise UnfoundedClaim("a quotation needs a segment and words")
        if self.char_start < 0 or self.char_end - self.char_start != len(self.quote):
            raise UnfoundedClaim("a quotation is as long as its span")
        if not 0 <= self.start_ms <= self.end_ms:
            raise UnfoundedClaim("a quotation has a place on the timeline")


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement with at least one quotation."""

    claim_id: str
    text: str
    evidence: tuple[Evidence, ...]
    origin: Origin
    confidence: Confidence

    def __post_init__(self) -> None:
        if not self.evidence:
            raise UnfoundedClaim("a claim needs evidence")
        if not self.text.strip():
            raise UnfoundedClaim("a claim needs words")


@dataclass(frozen=True, slots=True)
class Question:
    """A question with the sentences that answered it."""

    question: Claim
    asked_by: str
    answered_by: str = ""
    answer: tuple[Claim, ...] = ()

    @property
    def answered(self) -> bool:
        """Whether an answer followed."""
        return bool(self.answer)


@dataclass(frozen=True, slots=True)
class ActionItem:
    """A commitment or a request, as a candidate for a person to accept."""

    claim: Claim
    kind: ActionKind
    owner: str = ""
    due_date: date | None = None
    due_text: str = ""


@dataclass(frozen=True, slots=True)
class KeyPhrase:
    """A phrase, how often it was said, and where (the first places)."""

    phrase: str
    count: int
    evidence: tuple[Evidence, ...]

    def __post_init__(self) -> None:
        if not self.evidence:
            raise UnfoundedClaim("a phrase needs a place where it was said")


@dataclass(frozen=True, slots=True)
class SpeakerStatistics:
    """One participant's share of the talk."""

    participant_id: str
    speaker: str
    talk_ms: int
    talk_ratio: float
    """Share of all time spoken, in [0, 1]."""
    words: int
    words_per_minute: float
    turns: int
    longest_turn_ms: int
    questions: int
    fillers_per_100_words: float
    """For the speaker's own use, never a score."""
    interruptions: int
    """Turns begun while another was speaking."""
    patience_ms: int | None
    """Median pause before taking the turn; None if the speaker never followed another after a pause."""


@dataclass(frozen=True, slots=True)
class TalkStatistics:
    """Who spoke how much, exactly."""

    duration_ms: int
    silence_ms: int
    overlap_ms: int
    switches_per_minute: float
    balance: float
    """Evenness of the shares (entropy over its maximum): 0 one speaker only, 1 all alike."""
    speakers: tuple[SpeakerStatistics, ...]


@dataclass(frozen=True, slots=True)
class CoverageTotals:
    """Milliseconds per kind."""

    transcribed: int = 0
    silent: int = 0
    muted: int = 0
    concealed: int = 0
    lost: int = 0
    pending: int = 0
    withdrawn: int = 0


@dataclass(frozen=True, slots=True)
class ParticipantCoverage:
    """The account of one participant: the totals and `absent_ms` add up to the meeting's length."""

    participant_id: str
    display_name: str
    coverage_ms: CoverageTotals
    absent_ms: int = 0


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a report was made from and with."""

    transcript_sha256: str
    segments: int
    analyser: str
    analyser_version: str
    speech_engines: tuple[str, ...]
    create_time: datetime
    speech_cost_usd: float = 0.0
    """What recognition was billed; 0 for models that run here."""


@dataclass(frozen=True, slots=True)
class Report:
    """The whole document for one revision of a transcript."""

    meeting_id: str
    revision: int
    language: str
    title: str
    mode: str
    headline: str
    key_moments: tuple[Claim, ...]
    questions: tuple[Question, ...]
    actions: tuple[ActionItem, ...]
    decisions: tuple[Claim, ...]
    risks: tuple[Claim, ...]
    key_phrases: tuple[KeyPhrase, ...]
    talk: TalkStatistics
    coverage: tuple[ParticipantCoverage, ...]
    warnings: tuple[str, ...]
    provenance: Provenance
    schema_version: str = "1"
