"""A participant's timeline: every sample of the track is written once, in order, without a hole."""

from services.connector.spans import BYTES_PER_SAMPLE, Kind, Reason, SpanSink, samples_of, silence

_FILL_LONGEST = samples_of(1.0)
_HOLD_BACK = samples_of(0.3)
_PIECE = samples_of(0.5)


class Timeline:
    """Writes one track's spans to a sink and closes what lies between them.

    A hole of at most a second is filled with digital silence; a longer one is a gap without samples. While nothing
    arrives, `advance` closes the hole as time goes on, so that whoever listens can tell that speech has ended. While
    the participant is muted nothing of theirs is written, only the gap. The same holds, whatever their microphone does,
    while they have withdrawn from the recording; and then nothing that comes late is written either.

    Args:
        sink: where spans go.
        start_sample: first sample of the track.
    """

    def __init__(self, sink: SpanSink, start_sample: int) -> None:
        self._sink = sink
        self._muted_from: int | None = None
        self._withdrawn_from: int | None = None
        self.in_gap = False
        """Whether the last span written is a gap."""
        self.position = start_sample
        """Sample after the last one written."""
        self.heard_from = start_sample
        """Audio from before this sample is not wanted: it was muted, or its speaker had withdrawn."""

    @property
    def muted(self) -> bool:
        """Whether the participant is muted."""
        return self._muted_from is not None

    @property
    def withdrawn(self) -> bool:
        """Whether the participant has withdrawn from the recording."""
        return self._withdrawn_from is not None

    def wants(self, sample: int) -> bool:
        """Return whether audio that starts at `sample` was said unmuted, by somebody who is recorded."""
        return (
            not self.withdrawn and sample >= self.heard_from and (self._muted_from is None or sample < self._muted_from)
        )

    def write(self, sample: int, pcm: bytes, kind: Kind) -> None:
        """Write samples at their place; what was written before, is muted or not to be recorded is cut off.

        Args:
            sample: place of the first sample; a hole before it is closed.
            pcm: s16le, mono, 16 kHz.
            kind: how the samples came to be.
        """
        if self.withdrawn:
            return
        end = sample + len(pcm) // BYTES_PER_SAMPLE
        if self._muted_from is not None and end > self._muted_from:
            end = self._muted_from
            pcm = pcm[: max(0, end - sample) * BYTES_PER_SAMPLE]
        start = max(sample, self.position, self.heard_from)
        if start >= end:
            return
        self._close(start)
        self._sink.audio(start, pcm[(start - sample) * BYTES_PER_SAMPLE :], kind)
        self.position = end
        self.in_gap = False

    def lose(self, end_sample: int) -> None:
        """Write a gap up to `end_sample`: packets for it were sent and never arrived."""
        if self.withdrawn:
            return
        if self._muted_from is not None:
            end_sample = min(end_sample, self._muted_from)
        self._gap(end_sample, Reason.NO_PACKETS)

    def mute(self, sample: int) -> None:
        """Stop writing audio from `sample`."""
        if self._muted_from is None:
            self._muted_from = max(sample, self.position)

    def unmute(self, sample: int) -> None:
        """Write audio again from `sample`."""
        if self._muted_from is None:
            return
        if not self.withdrawn:
            self._close_muted(sample)
            self.heard_from = self.position
        self._muted_from = None

    def withdraw(self, sample: int) -> None:
        """Write nothing more of what is said, from `sample` on, and nothing of before that has not come yet."""
        if self._withdrawn_from is None:
            self.finish(sample)
            self._withdrawn_from = self.position

    def consent(self, sample: int) -> None:
        """Write again what is said from `sample` on; a microphone that is off stays off."""
        if self._withdrawn_from is None:
            return
        self.finish(sample)
        self._withdrawn_from = None
        self.in_gap = False
        self.heard_from = self.position
        if self._muted_from is not None:
            self._muted_from = self.position

    def advance(self, sample: int) -> None:
        """Close what lies behind `sample`, the present moment, if it is clear by now that nothing will come for it."""
        if self._withdrawn_from is not None:
            if sample - self.position >= (_PIECE if self.position > self._withdrawn_from else 1):
                self._gap(sample, Reason.WITHDRAWN)
            return
        if self._muted_from is not None:
            if sample - self._muted_from >= _HOLD_BACK and sample - self.position >= _PIECE:
                self._close_muted(sample)
            return
        horizon = sample - _HOLD_BACK
        if horizon - self.position > (_PIECE if self.in_gap else _FILL_LONGEST):
            self._gap(horizon, Reason.NO_PACKETS)

    def finish(self, sample: int) -> None:
        """Close everything up to `sample`."""
        if self.withdrawn:
            self._gap(sample, Reason.WITHDRAWN)
        elif self._muted_from is not None:
            self._close_muted(sample)
        else:
            self._close(sample)

    def _close_muted(self, sample: int) -> None:
        assert self._muted_from is not None
        self._close(min(self._muted_from, sample))
        self._gap(sample, Reason.MUTED)
        self.in_gap = False
        self._muted_from = max(self._muted_from, self.position)

    def _close(self, sample: int) -> None:
        missing = sample - self.position
        if missing > _FILL_LONGEST or (self.in_gap and missing > 0):
            self._gap(sample, Reason.NO_PACKETS)
        elif missing > 0:
            self._sink.audio(self.position, silence(missing), Kind.FILL)
            self.position = sample

    def _gap(self, end_sample: int, reason: Reason) -> None:
        if end_sample > self.position:
            self._sink.gap(self.position, end_sample, reason)
            self.position = end_sample
            self.in_gap = True
