"""A track: one participant's audio within a session, as an account of spans; the samples are in the journal."""

from bisect import bisect_right
from dataclasses import dataclass, field
from enum import IntEnum

from agent.common.v1 import audio_pb2 as audio
from agent.ingest.v1 import audio_service_pb2 as pb
from kit.names import shown_name
from services.ingest.timeline import SAMPLE_RATE_HERTZ

MAX_NAME_CHARACTERS = 200
_INDEX_SAMPLES = 5 * SAMPLE_RATE_HERTZ


class SpanKind(IntEnum):
    """What a span of a track is made of."""

    HEARD = 1
    """Decoded or recovered from packets: what was said."""
    CONCEALED = 2
    """Invented in place of lost packets."""
    FILL = 3
    """Digital silence where the sender sent nothing."""
    MUTED = 4
    """No samples: the participant was muted."""
    LOST = 5
    """No samples, though there should be some."""
    WITHDRAWN = 6
    """No samples: the participant had withdrawn from the recording."""


AUDIO_KINDS = {
    audio.AUDIO_KIND_PLC: SpanKind.CONCEALED,
    audio.AUDIO_KIND_FILL: SpanKind.FILL,
}
"""Every other kind was heard."""
GAP_KINDS = {
    audio.GAP_REASON_MUTED: SpanKind.MUTED,
    audio.GAP_REASON_WITHDRAWN: SpanKind.WITHDRAWN,
}
"""Every other gap was lost."""
BASES = {
    audio.SPEAKER_BASIS_OWN_TRACK: "own_track",
    audio.SPEAKER_BASIS_ROSTER: "roster",
}
"""Every other basis is a guess."""


@dataclass(frozen=True, slots=True)
class Span:
    """Samples `[start, end)` of one kind."""

    start: int
    end: int
    kind: SpanKind


@dataclass(slots=True)
class Track:
    """What is known of a track. Its spans touch: from `start_sample` to `next_sample` nothing is left out."""

    number: int
    participant_id: str
    display_name: str
    basis: str
    language: str
    """As declared; empty to detect."""
    start_sample: int
    next_sample: int
    """Sample after the last received."""
    end_sample: int | None = None
    """Where the participant left; None while more may come."""
    spans: list[Span] = field(default_factory=list)
    decided_sample: int = 0
    """Everything before it is text or silence."""
    finals: list[tuple[int, int]] = field(default_factory=list)
    """Utterances that became text, `[start, end)`, in order."""
    words: int = 0
    pinned_language: str = ""
    """Language that a final was sure of: what follows is heard in it, whoever hears it."""
    _index: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def started(cls, message: pb.TrackStart, offset: int) -> "Track":
        """Return the track that a message introduces, recorded at `offset` of the journal."""
        track = cls(
            number=message.track,
            participant_id=message.participant_id,
            display_name=shown_name(message.display_name, most=MAX_NAME_CHARACTERS),
            basis=BASES.get(message.basis, "guess"),
            language=message.language,
            start_sample=message.start_sample,
            next_sample=message.start_sample,
            decided_sample=message.start_sample,
        )
        track._index.append((message.start_sample, offset))
        return track

    def renamed(self, message: pb.TrackStart) -> None:
        """Take what a repeated introduction says anew about the same participant."""
        self.display_name = shown_name(message.display_name, most=MAX_NAME_CHARACTERS)
        self.basis = BASES.get(message.basis, "guess")
        self.language = message.language

    def extend(self, end: int, kind: SpanKind, offset: int) -> None:
        """Add a span that follows on from the last, recorded at `offset` of the journal."""
        if self.next_sample - self._index[-1][0] >= _INDEX_SAMPLES:
            self._index.append((self.next_sample, offset))
        if self.spans and self.spans[-1].kind is kind:
            self.spans[-1] = Span(self.spans[-1].start, end, kind)
        else:
            self.spans.append(Span(self.next_sample, end, kind))
        self.next_sample = end

    def offset_before(self, sample: int) -> int:
        """Return an offset of the journal at which no later sample of this track stands before `sample`."""
        place = bisect_right(self._index, sample, key=lambda entry: entry[0])
        return self._index[max(0, place - 1)][1]

    def settle(self, start: int, end: int, words: int) -> None:
        """Note an utterance that became text; one that is known already changes nothing."""
        if (start, end) not in self.finals[-64:]:
            self.finals.append((start, end))
            self.words += words

    def decide(self, sample: int) -> None:
        """Note that everything before `sample` is decided."""
        self.decided_sample = max(self.decided_sample, sample)

    @property
    def undecided_samples(self) -> int:
        """Samples received and not yet decided."""
        return max(0, self.next_sample - self.decided_sample)
