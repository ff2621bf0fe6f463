"""A recording of a call in memory: the tracks that a source wrote, and what it told of the call."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.connector.provider import Basis
from services.connector.spans import Kind, Reason
from tests.fakes.spans import RecordedSpans


@dataclass
class Track:
    """One track as it was written."""

    participant_id: str
    name: str
    basis: Basis
    spans: RecordedSpans
    end: int | None = None

    @property
    def samples(self) -> NDArray[np.int16]:
        """The waveform from the start of the track, gaps as zeros."""
        return np.frombuffer(bytes(self.spans.pcm), "<i2")

    @property
    def heard(self) -> int:
        """Samples that carry somebody's voice or their silence."""
        return self.spans.total("ok") + self.spans.total("fec")


@dataclass
class CallRecording:
    """What a source writes to and tells; `events` are its words in order, "entered" first."""

    tracks: list[Track] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    notices: list[tuple[str, str]] = field(default_factory=list)

    def track(self, name: str) -> Track:
        """Return the only track of a participant."""
        (found,) = [track for track in self.tracks if track.name == name]
        return found

    def heard(self, name: str) -> int:
        """Return how many samples were heard of a participant so far."""
        return sum(track.heard for track in self.tracks if track.name == name)

    def start_track(self, participant_id: str, display_name: str, basis: Basis, start_sample: int) -> int:
        """Introduce a participant."""
        self.tracks.append(Track(participant_id, display_name, basis, RecordedSpans(start_sample)))
        return len(self.tracks) - 1

    def audio(self, track: int, start_sample: int, pcm: bytes, kind: Kind) -> None:
        """Take samples."""
        self.tracks[track].spans.audio(start_sample, pcm, kind)

    def gap(self, track: int, start_sample: int, end_sample: int, reason: Reason) -> None:
        """Take a span without samples."""
        self.tracks[track].spans.gap(start_sample, end_sample, reason)

    def end_track(self, track: int, end_sample: int) -> None:
        """Close a track."""
        assert self.tracks[track].end is None
        assert self.tracks[track].spans.position == end_sample
        self.tracks[track].end = end_sample

    def entered(self) -> None:
        """The recorder is in the call."""
        self.events.append("entered")

    def live(self) -> None:
        """Sample 0 is now."""
        self.events.append("live")

    def degraded(self, reason: str) -> None:
        """Somebody is not heard."""
        self.events.append("degraded")

    def recovered(self) -> None:
        """All is well again."""
        self.events.append("recovered")

    def reconnecting(self, reason: str) -> None:
        """The recorder lost the call."""
        self.events.append("reconnecting")

    def told(self, participant_id: str, display_name: str, channel: str) -> None:
        """A participant was told."""
        self.notices.append((display_name, channel))

    def withdrew(self, participant_id: str) -> None:
        """A participant withdrew."""
        self.events.append(f"withdrew {participant_id}")

    def consented(self, participant_id: str) -> None:
        """A participant consented again."""
        self.events.append(f"consented {participant_id}")
