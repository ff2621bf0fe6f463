"""A receiver: a participant's packets become spans; order restored, losses recovered or concealed, silences exact."""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from services.connector.receive.opus import OpusUndecodable
from services.connector.receive.rtp_clock import RtpClock
from services.connector.receive.timeline import Timeline
from services.connector.spans import BYTES_PER_SAMPLE, SAMPLE_RATE, Kind, samples_of, silence

_REORDER = samples_of(0.12)
_CONCEALED_FRAMES = 5
_CONCEALED_LONGEST = samples_of(1.0)
_LATE_LONGEST = samples_of(2.0)
_RETIRED_SECONDS = 1.0
_SEQUENCE_JUMP = 1000
_FRAME = SAMPLE_RATE // 50
_LOSS_PACKETS = 250
_QUIET = 16  # 24 dB below the loudest of late
_FADE = 0.998


class Decoder(Protocol):
    """What a receiver needs of an Opus decoder; see `OpusDecoder`."""

    def decode(self, packet: bytes) -> bytes:
        """Decode a packet."""

    def recover(self, packet: bytes, samples: int) -> bytes:
        """Return the samples before `packet` from the copy in it."""

    def conceal(self, samples: int) -> bytes:
        """Invent samples."""

    def carries_recovery(self, packet: bytes) -> bool:
        """Return whether `packet` holds a copy of the frame before it."""


class OpusPacket(NamedTuple):
    """One RTP packet: 16-bit sequence number, 32-bit timestamp at 48 kHz, Opus payload."""

    ssrc: int
    sequence: int
    timestamp: int
    payload: bytes


@dataclass(slots=True)
class Counts:
    """What happened to the packets so far."""

    received: int = 0
    late: int = 0
    duplicate: int = 0
    lost: int = 0
    recovered: int = 0
    undecodable: int = 0
    restarts: int = 0
    trimmed: int = 0
    """Frames left out because the sender's clock is fast."""


class AudioReceiver:
    """Turns packets into spans of a timeline.

    Call `receive` for each packet, `poll` several times a second, `flush` when the sender is gone. A new SSRC, a jump
    of the sequence or of the timestamp starts the sender's clock afresh; the timeline goes on.

    Args:
        timeline: where spans are written.
        present: returns the session's present sample.
        decoder: makes a decoder for a new stream of packets.
    """

    def __init__(self, timeline: Timeline, present: Callable[[], int], decoder: Callable[[], Decoder]) -> None:
        self._timeline = timeline
        self._present = present
        self._make_decoder = decoder
        self._decoder: Decoder | None = None
        self._clock: RtpClock | None = None
        self._ssrc = -1
        self._next = 0
        self._frame = _FRAME
        self._waiting: dict[int, tuple[OpusPacket, int]] = {}
        self._retired: OrderedDict[int, int] = OrderedDict()
        self._outcomes: deque[bool] = deque(maxlen=_LOSS_PACKETS)
        self._loud = 0.0
        self._trimmed = False
        self.counts = Counts()
        self.last_arrival: int | None = None
        """Sample of the session's clock when the last packet arrived."""

    @property
    def loss(self) -> float:
        """Share of the last 250 packets (5 s of speech) that never arrived, in [0, 1]."""
        return self._outcomes.count(False) / len(self._outcomes) if self._outcomes else 0.0

    def receive(self, packet: OpusPacket) -> None:
        """Take one packet, in any order."""
        if not packet.payload and packet.ssrc != self._ssrc:
            return
        now = self._present()
        self.counts.received += 1
        if packet.ssrc != self._ssrc and self._is_retired(packet.ssrc, now):
            self.counts.late += 1
            return
        self.last_arrival = now
        ahead = (packet.sequence - self._next) & 0xFFFF
        late = ahead >= 0x8000
        if packet.ssrc != self._ssrc or (min(ahead, 0x10000 - ahead) > _SEQUENCE_JUMP):
            self._restart(packet, now)
        elif late:
            self.counts.late += 1
            return
        elif packet.sequence in self._waiting:
            self.counts.duplicate += 1
            return
        elif packet.payload and self._clock is not None and self._clock.jumped(packet.timestamp, now):
            self._restart(packet, now)
        assert self._clock is not None
        if packet.payload:
            self._clock.observe(packet.timestamp, now)
        if packet.sequence == self._next and not self._waiting and self._clock.settled(now):
            self._play(packet)
            self._next = (self._next + 1) & 0xFFFF
            return
        self._waiting[packet.sequence] = (packet, now)
        self._drain(now)

    def poll(self) -> None:
        """Give up on packets that are overdue and let the timeline advance."""
        now = self._present()
        self._drain(now)
        self._timeline.advance(now)

    def flush(self) -> None:
        """Write what still waits for an earlier packet."""
        self._drain(None)

    def _restart(self, packet: OpusPacket, now: int) -> None:
        self.flush()
        if self._clock is not None:
            self.counts.restarts += 1
            if packet.ssrc != self._ssrc:
                self._retired[self._ssrc] = now
                while len(self._retired) > 8:
                    self._retired.popitem(last=False)
        self._ssrc = packet.ssrc
        self._next = packet.sequence
        self._decoder = self._make_decoder()
        self._clock = RtpClock(packet.timestamp, max(self._timeline.position, now), now)

    def _is_retired(self, ssrc: int, now: int) -> bool:
        retired = self._retired.get(ssrc)
        if retired is None:
            return False
        if now - retired < _RETIRED_SECONDS * SAMPLE_RATE:
            return True
        del self._retired[ssrc]
        return False

    def _drain(self, now: int | None) -> None:
        """Play what is in order; past a hole only when its packets are overdue, or at once if `now` is None."""
        if self._clock is None or not self._clock.settled(now):
            return
        while self._waiting:
            entry = self._waiting.pop(self._next, None)
            if entry is None:
                first = min(self._waiting, key=lambda sequence: (sequence - self._next) & 0xFFFF)
                packet, arrival = self._waiting[first]
                if now is not None and now - arrival < _REORDER:
                    return
                self._conceal(packet)
                self._next = first
                continue
            self._play(entry[0])
            self._next = (self._next + 1) & 0xFFFF

    def _play(self, packet: OpusPacket) -> None:
        assert self._clock is not None
        assert self._decoder is not None
        self._outcomes.append(True)
        timeline = self._timeline
        place = self._clock.sample(packet.timestamp)
        if not packet.payload:  # padding: it only takes a sequence number
            return
        if not timeline.wants(place):
            self._clock.mend(self._clock.lead)  # nobody hears the clock being put right here
            return
        behind = timeline.position - place
        if behind > 0:  # the timeline had given up on it: better a little later than never
            if behind + self._clock.lead > _LATE_LONGEST:
                self.counts.late += 1
                return
            self._clock.shift(behind)
        elif behind < 0:
            self._clock.mend(-behind)
        try:
            pcm, kind = self._decoder.decode(packet.payload), Kind.OK
        except OpusUndecodable:
            self.counts.undecodable += 1
            pcm, kind = self._decoder.conceal(self._frame), Kind.PLC
        self._frame = len(pcm) // BYTES_PER_SAMPLE
        if self._clock.astray and self._trim(pcm):
            return
        timeline.write(max(timeline.position, self._clock.sample(packet.timestamp)), pcm, kind)

    def _trim(self, pcm: bytes) -> bool:
        """Mend the clock at a frame that is quiet by itself; returns whether that took the frame.

        A sender without DTX leaves no silence between its packets. Of quiet frames that follow each other every other
        one goes at most, so that a pause stays a pause.
        """
        assert self._clock is not None
        samples = memoryview(pcm).cast("h")
        peak = max(max(samples), -min(samples))
        self._loud = max(peak, _FADE * self._loud)
        quiet = peak * _QUIET <= self._loud
        if quiet and self._clock.lag:
            self._clock.mend(0)
        self._trimmed = not self._trimmed and (quiet or self._clock.overdue) and self._clock.lead >= self._frame
        if self._trimmed:
            self.counts.trimmed += 1
            self._clock.shift(-self._frame)
        return self._trimmed

    def _conceal(self, after: OpusPacket) -> None:
        """Close the hole before `after`: whole lost frames first, then silence that was never sent, then the copy."""
        assert self._clock is not None
        assert self._decoder is not None
        skipped = (after.sequence - self._next) & 0xFFFF
        self.counts.lost += skipped
        self._outcomes.extend([False] * min(skipped, _LOSS_PACKETS))
        timeline = self._timeline
        place = self._clock.sample(after.timestamp)
        frames = min(skipped, (place - timeline.position) // self._frame)
        if frames <= 0 or not timeline.wants(timeline.position):
            return
        copied = self._decoder.carries_recovery(after.payload)
        lost_end = timeline.position + (frames - copied) * self._frame
        if not timeline.in_gap:  # after a gap there is nothing left to continue
            for _ in range(min(frames - copied, _CONCEALED_FRAMES)):
                timeline.write(timeline.position, self._decoder.conceal(self._frame), Kind.PLC)
        rest = lost_end - timeline.position
        if timeline.in_gap or rest > _CONCEALED_LONGEST:
            timeline.lose(lost_end)
        elif rest > 0:
            timeline.write(timeline.position, silence(rest), Kind.PLC)
        if copied:
            try:
                pcm = self._decoder.recover(after.payload, self._frame)
            except OpusUndecodable:
                return
            self.counts.recovered += 1
            timeline.write(place - len(pcm) // BYTES_PER_SAMPLE, pcm, Kind.FEC)
