"""A participant: one voice in a call, with its track, its timeline and the receiver of its packets."""

from collections.abc import Callable

from services.connector.provider import Basis, Heard, TrackWriter
from services.connector.receive.opus import OpusDecoder
from services.connector.receive.receiver import AudioReceiver, OpusPacket
from services.connector.receive.timeline import Timeline
from services.connector.spans import Kind, Reason


class Participant:
    """Somebody who is in the call.

    Args:
        id: identifier in the call, kept over reconnects.
        name: name as shown.
        basis: how we know who it is.
        tracks: where the track is written.
        present: returns the session's present sample.
        start_sample: where the track starts.
    """

    def __init__(
        self,
        id: str,  # noqa: A002
        name: str,
        basis: Basis,
        tracks: TrackWriter,
        present: Callable[[], int],
        start_sample: int,
    ) -> None:
        self.id = id
        self.name = name
        self.basis = basis
        self._present = present
        self._tracks = tracks
        self._track = tracks.start_track(id, name, basis, start_sample)
        self._timeline = Timeline(_Track(tracks, self._track), start_sample)
        self._receiver = AudioReceiver(self._timeline, present, OpusDecoder)
        self._silent_since = start_sample

    @property
    def heard(self) -> Heard:
        """The participant as others may see them."""
        return Heard(
            self.id, self.name, self._timeline.muted, self._receiver.loss, self.basis, self._timeline.withdrawn
        )

    @property
    def position(self) -> int:
        """Sample after the last one written."""
        return self._timeline.position

    @property
    def quiet_samples(self) -> int:
        """Samples since the last packet; 0 while muted or withdrawn, when none are owed."""
        if self._timeline.muted or self._timeline.withdrawn:
            return 0
        return self._present() - max(self._receiver.last_arrival or 0, self._silent_since)

    def receive(self, packet: OpusPacket) -> None:
        """Take one packet."""
        self._receiver.receive(packet)

    def poll(self) -> None:
        """Let the timeline advance; call it several times a second."""
        self._receiver.poll()

    def mute(self, muted: bool) -> None:
        """Follow what the call says about the participant's microphone."""
        now = self._present()
        if muted:
            self._timeline.mute(now)
        else:
            self._timeline.unmute(now)
            self._silent_since = now

    def withdraw(self) -> None:
        """Record nothing more from this moment on; what had come by now was said before it and stays."""
        self._receiver.flush()
        self._timeline.withdraw(self._present())

    def consent(self) -> None:
        """Record again from this moment on; what came meanwhile is forgotten."""
        self._receiver.flush()
        now = self._present()
        self._timeline.consent(now)
        self._silent_since = now

    def missed(self) -> None:
        """Count what comes before the first packet as lost: they may have been speaking all along."""
        self._timeline.in_gap = True

    def flush(self) -> None:
        """Write what still waits for an earlier packet."""
        self._receiver.flush()

    def end(self, sample: int) -> int:
        """End the track at `sample`, or later if audio reaches further; returns its end."""
        self._receiver.flush()
        self._timeline.finish(sample)
        self._tracks.end_track(self._track, self._timeline.position)
        return self._timeline.position


class _Track:
    """One track of a writer, as a sink for spans."""

    def __init__(self, tracks: TrackWriter, track: int) -> None:
        self._tracks = tracks
        self._track = track

    def audio(self, start_sample: int, pcm: bytes, kind: Kind) -> None:
        self._tracks.audio(self._track, start_sample, pcm, kind)

    def gap(self, start_sample: int, end_sample: int, reason: Reason) -> None:
        self._tracks.gap(self._track, start_sample, end_sample, reason)
