"""The backlog: what ingest does not have on disk yet, kept to be sent again, within a bound."""

from collections import deque

from agent.common.v1.audio_pb2 import GapReason
from agent.ingest.v1.audio_service_pb2 import AudioGap, StreamAudioRequest
from services.connector.spans import BYTES_PER_SAMPLE

_OVERHEAD_BYTES = 64
_FREED_SHARE = 0.25


class BacklogLost(Exception):
    """The server's next sequence is not one that this session can go on from."""


class Backlog:
    """Messages in order: those sent on this connection, then those to be sent.

    Past the bound the oldest audio that is not under way becomes a gap with the reason `overflow`; a track's beginning,
    its gaps and its end are never dropped, so the session can always be told to its end.

    Args:
        limit_bytes: memory for messages.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._sent: deque[StreamAudioRequest] = deque()
        self._waiting: deque[StreamAudioRequest] = deque()
        self._next = 1
        self._bytes = 0
        self.overflowed_samples = 0
        """Samples dropped so far."""

    @property
    def size_bytes(self) -> int:
        """Memory in use for messages."""
        return self._bytes

    @property
    def unacknowledged(self) -> int:
        """Messages under way."""
        return len(self._sent)

    @property
    def empty(self) -> bool:
        """Whether everything is on disk at the server."""
        return not self._sent and not self._waiting

    @property
    def ready(self) -> bool:
        """Whether something is to be sent."""
        return bool(self._waiting)

    def add(self, request: StreamAudioRequest) -> None:
        """Put a message, without its sequence, at the end."""
        self._waiting.append(request)
        self._bytes += _size(request)
        if self._bytes > self._limit:
            self._drop_oldest()

    def take(self) -> StreamAudioRequest:
        """Number the next message and count it as under way."""
        request = self._waiting.popleft()
        request.sequence = self._next
        self._next += 1
        self._sent.append(request)
        return request

    def acknowledge(self, sequence: int) -> bool:
        """Forget everything up to `sequence`; returns whether that was anything."""
        progress = False
        while self._sent and self._sent[0].sequence <= sequence:
            self._bytes -= _size(self._sent.popleft())
            progress = True
        return progress

    def rewind(self, next_sequence: int) -> None:
        """Start over on a new connection, at the sequence that the server expects.

        Raises:
            BacklogLost: the server has forgotten what it had acknowledged, or knows more than was sent.
        """
        self.acknowledge(next_sequence - 1)
        expected = self._sent[0].sequence if self._sent else self._next
        if next_sequence != expected:
            raise BacklogLost(f"the server expects message {next_sequence}, the session goes on at {expected}")
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        self._next = next_sequence

    def _drop_oldest(self) -> None:
        kept: list[StreamAudioRequest] = []
        open_gaps: dict[int, AudioGap] = {}
        while self._waiting and self._bytes > self._limit * (1 - _FREED_SHARE):
            request = self._waiting.popleft()
            self._bytes -= _size(request)
            remaining = self._without_audio(request, open_gaps)
            if remaining is not None:
                kept.append(remaining)
                self._bytes += _size(remaining)
        self._waiting.extendleft(reversed(kept))

    def _without_audio(self, request: StreamAudioRequest, open_gaps: dict[int, AudioGap]) -> StreamAudioRequest | None:
        """Return what stays of a message; None if it became part of the overflow before it on its track."""
        match request.WhichOneof("message"):
            case "audio":
                frame = request.audio
                gap = AudioGap(
                    track=frame.track,
                    start_sample=frame.start_sample,
                    end_sample=frame.start_sample + len(frame.pcm) // BYTES_PER_SAMPLE,
                    reason=GapReason.GAP_REASON_OVERFLOW,
                )
                self.overflowed_samples += gap.end_sample - gap.start_sample
            case "gap" if request.gap.reason == GapReason.GAP_REASON_OVERFLOW:
                gap = request.gap
            case "gap":
                open_gaps.pop(request.gap.track, None)
                return request
            case _:
                return request
        before = open_gaps.get(gap.track)
        if before is not None and before.end_sample == gap.start_sample:
            before.end_sample = gap.end_sample
            return None
        remaining = StreamAudioRequest(gap=gap)
        open_gaps[gap.track] = remaining.gap
        return remaining


def _size(request: StreamAudioRequest) -> int:
    return len(request.audio.pcm) + _OVERHEAD_BYTES
