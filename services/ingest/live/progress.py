"""Progress: how a track moves on, for whoever looks at it now and then."""

from services.ingest.intake.track import SpanKind, Track
from services.ingest.timeline import SAMPLE_RATE_HERTZ, samples_of


class TrackProgress:
    """What changed on a track from one look to the next; looks at new spans only. Times are monotonic seconds."""

    def __init__(self, track: Track, at: float) -> None:
        self._track = track
        self._next_sample = track.next_sample
        self._moved_at = at
        self._decided_sample = track.decided_sample
        self._decided_at = at
        self._counted_spans = 0
        self._lost_samples = 0
        self._at = at

    def look(self, at: float, *, owed: bool) -> None:
        """Look at the track; `owed` says that its client is there and nothing keeps it from sending."""
        track, self._at = self._track, at
        if track.next_sample != self._next_sample or not owed:
            self._next_sample, self._moved_at = track.next_sample, at
        if track.decided_sample != self._decided_sample or track.undecided_samples == 0:
            self._decided_sample, self._decided_at = track.decided_sample, at
        while self._counted_spans < len(track.spans) - 1:  # the last one may still grow
            self._lost_samples += _lost(track, self._counted_spans)
            self._counted_spans += 1

    @property
    def waited_samples(self) -> int:
        """Time for which nothing came, in samples."""
        return samples_of(self._at - self._moved_at)

    @property
    def stalled_seconds(self) -> float:
        """Time for which nothing of what is there was decided."""
        return self._at - self._decided_at

    @property
    def pending_seconds(self) -> float:
        """Sound that is not decided."""
        return self._track.undecided_samples / SAMPLE_RATE_HERTZ

    @property
    def lost_seconds(self) -> float:
        """Time without sound, though there should have been some."""
        last = _lost(self._track, -1) if self._track.spans else 0
        return (self._lost_samples + last) / SAMPLE_RATE_HERTZ


def _lost(track: Track, place: int) -> int:
    span = track.spans[place]
    return span.end - span.start if span.kind is SpanKind.LOST else 0
