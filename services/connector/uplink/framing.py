"""Framing: the spans of one track gathered into messages of 100 ms."""

from collections.abc import Callable

from agent.common.v1.audio_pb2 import AudioKind, GapReason
from agent.ingest.v1.audio_service_pb2 import AudioFrame, AudioGap, StreamAudioRequest
from kit.clock import monotonic
from services.connector.spans import BYTES_PER_SAMPLE, SAMPLE_RATE, Kind, Reason

FRAME_BYTES = SAMPLE_RATE // 10 * BYTES_PER_SAMPLE

KINDS = {
    Kind.OK: AudioKind.AUDIO_KIND_OK,
    Kind.FEC: AudioKind.AUDIO_KIND_FEC,
    Kind.PLC: AudioKind.AUDIO_KIND_PLC,
    Kind.FILL: AudioKind.AUDIO_KIND_FILL,
}
REASONS = {
    Reason.MUTED: GapReason.GAP_REASON_MUTED,
    Reason.NO_PACKETS: GapReason.GAP_REASON_NO_PACKETS,
    Reason.OVERFLOW: GapReason.GAP_REASON_OVERFLOW,
    Reason.AWAY: GapReason.GAP_REASON_AWAY,
    Reason.WITHDRAWN: GapReason.GAP_REASON_WITHDRAWN,
}


class Framer:
    """Gathers one track's audio; a change of kind or a gap ends a message early.

    Args:
        track: number of the track.
        emit: takes each message, without its sequence.
        position: first sample of the track.
    """

    def __init__(self, track: int, emit: Callable[[StreamAudioRequest], None], position: int = 0) -> None:
        self._track = track
        self._emit = emit
        self.position = position
        """Sample after the last one taken."""
        self._start = 0
        self._kind = Kind.OK
        self._pcm = bytearray()
        self._since = 0.0

    def audio(self, start_sample: int, pcm: bytes, kind: Kind) -> None:
        """Take samples that follow on from the last; what a source before this one had brought already is cut off."""
        known = self.position - start_sample
        if known > 0:
            start_sample, pcm = self.position, pcm[known * BYTES_PER_SAMPLE :]
            if not pcm:
                return
        self.position = start_sample + len(pcm) // BYTES_PER_SAMPLE
        if self._pcm and kind is not self._kind:
            self.flush()
        if not self._pcm:
            self._start, self._kind, self._since = start_sample, kind, monotonic()
        self._pcm += pcm
        while len(self._pcm) >= FRAME_BYTES:
            self._send(FRAME_BYTES)
            self._since = monotonic()

    def gap(self, start_sample: int, end_sample: int, reason: Reason) -> None:
        """Take a span without samples; one that is known already says nothing."""
        start_sample = max(start_sample, self.position)
        if start_sample >= end_sample:
            return
        self.position = end_sample
        self.flush()
        gap = AudioGap(track=self._track, start_sample=start_sample, end_sample=end_sample, reason=REASONS[reason])
        self._emit(StreamAudioRequest(gap=gap))

    def flush(self, *, older_than_seconds: float = 0.0) -> None:
        """Send what has been gathered, unless it is younger than `older_than_seconds`."""
        if self._pcm and monotonic() - self._since >= older_than_seconds:
            self._send(len(self._pcm))

    def _send(self, size: int) -> None:
        pcm = bytes(self._pcm[:size])
        del self._pcm[:size]
        frame = AudioFrame(track=self._track, start_sample=self._start, pcm=pcm, kind=KINDS[self._kind])
        self._start += len(pcm) // BYTES_PER_SAMPLE
        self._emit(StreamAudioRequest(audio=frame))
