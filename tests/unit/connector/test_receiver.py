"""The receive path on synthetic RTP: order, loss, DTX, mute, frozen clocks, new senders; always an exact timeline."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.connector.receive.receiver import AudioReceiver, OpusPacket
from services.connector.receive.timeline import Timeline
from services.connector.spans import SAMPLE_RATE
from tests.fakes.spans import NumberedDecoder, RecordedSpans, numbered

FRAME = 320
TICK = 1600


class Wire:
    """A sender, a network and a receiver with a clock that the test moves."""

    def __init__(self, *, sequence: int = 65_500, timestamp: int = 0xFFFF_F000, ssrc: int = 1) -> None:
        self.spans = RecordedSpans()
        self.timeline = Timeline(self.spans, 0)
        self.now = 0
        self.receiver = AudioReceiver(self.timeline, lambda: self.now, NumberedDecoder)
        self._sequence, self._timestamp, self._ssrc = sequence, timestamp, ssrc
        self._ticked = 0

    def packet(self, number: int, *, skipped: int = 0, frozen: int = 0, copy: bool = True) -> OpusPacket:
        """Make frame `number` of a sender that suppressed `skipped` frames and lost `frozen` samples of its clock."""
        return OpusPacket(
            ssrc=self._ssrc,
            sequence=(self._sequence + number - skipped) & 0xFFFF,
            timestamp=(self._timestamp + (number * FRAME - frozen) * 3) & 0xFFFF_FFFF,
            payload=numbered(number + 1, copy=copy),
        )

    def at(self, sample: int) -> None:
        """Let time pass up to `sample`, with a tick every 100 ms."""
        while self._ticked + TICK <= sample:
            self._ticked += TICK
            self.now = self._ticked
            self.receiver.poll()
        self.now = max(self.now, sample)

    def play(self, numbers: range, *, skipped: int = 0, frozen: int = 0) -> None:
        """Send frames, each on time."""
        for number in numbers:
            self.at(number * FRAME)
            self.receiver.receive(self.packet(number, skipped=skipped, frozen=frozen))

    def finish(self, sample: int) -> None:
        """End the track."""
        self.at(sample)
        self.receiver.flush()
        self.timeline.finish(sample)

    def frames(self) -> list[int]:
        """Return the number that each frame of the track says, 0 where it is silent."""
        return [int(frame[0]) for frame in np.frombuffer(bytes(self.spans.pcm), "<i2").reshape(-1, FRAME)]


def test_packets_on_time_are_written_as_they_are() -> None:
    wire = Wire()
    wire.play(range(100))
    assert wire.spans.merged() == [(0, 100 * FRAME, "ok")]
    assert wire.frames() == list(range(1, 101))


def test_reordered_and_repeated_packets_are_put_right() -> None:
    wire = Wire()
    for number in [0, 1, 3, 2, 2, 4, 4, 7, 6, 5, 8]:
        wire.at(max(wire.now, number * FRAME))
        wire.receiver.receive(wire.packet(number))
    assert wire.frames() == list(range(1, 10))
    assert wire.spans.merged() == [(0, 9 * FRAME, "ok")]
    assert wire.receiver.counts.lost == 0


def test_one_lost_packet_is_recovered_from_the_next() -> None:
    wire = Wire()
    wire.play(range(10))
    wire.play(range(11, 25))
    assert wire.frames() == list(range(1, 26))
    assert wire.spans.merged()[:3] == [(0, 3200, "ok"), (3200, 3520, "fec"), (3520, 25 * FRAME, "ok")]
    assert wire.receiver.loss == pytest.approx(1 / 25)


def test_a_burst_is_concealed_then_silent_then_recovered_and_never_called_silence() -> None:
    wire = Wire()
    wire.play(range(10))
    wire.play(range(30, 50))
    assert wire.spans.merged()[1:3] == [(3200, 29 * FRAME, "plc"), (29 * FRAME, 30 * FRAME, "fec")]
    assert wire.spans.total("fill") == 0
    assert wire.frames()[30:] == list(range(31, 51))


def test_without_a_copy_the_last_lost_frame_is_concealed_too() -> None:
    wire = Wire()
    wire.play(range(10))
    for number in range(12, 25):
        wire.at(number * FRAME)
        wire.receiver.receive(wire.packet(number, copy=False))
    assert wire.spans.merged()[1] == (3200, 12 * FRAME, "plc")


def test_dtx_is_exact_silence() -> None:
    wire = Wire()
    wire.play(range(10))
    for pause in range(1, 6):
        wire.play(range(10 + 20 * pause, 11 + 20 * pause), skipped=20 * pause - pause + 1)
    assert wire.spans.total("fill") == (20 + 4 * 19) * FRAME
    assert {kind for _, _, kind in wire.spans.spans} == {"ok", "fill"}
    assert wire.frames()[110] == 111


def test_a_loss_within_dtx_costs_only_the_frames_that_were_sent() -> None:
    wire = Wire()
    wire.play(range(10))
    wire.at(30 * FRAME)  # frame 10 was sent and lost, 11 to 29 were never sent
    wire.receiver.receive(wire.packet(30, skipped=19))
    wire.finish(31 * FRAME + 3200)
    assert wire.spans.total("fec") + wire.spans.total("plc") == FRAME
    assert wire.frames()[30] == 31


def test_a_pause_longer_than_a_second_is_a_gap_and_is_told_while_it_lasts() -> None:
    wire = Wire()
    wire.play(range(50))
    wire.at(50 * FRAME + SAMPLE_RATE)
    assert wire.spans.position == 50 * FRAME
    wire.at(50 * FRAME + 2 * SAMPLE_RATE)
    assert wire.spans.position > 50 * FRAME + SAMPLE_RATE
    wire.play(range(200, 210), skipped=150)
    assert wire.spans.merged() == [(0, 16_000, "ok"), (16_000, 64_000, "no_packets"), (64_000, 67_200, "ok")]


def test_packets_lost_for_longer_than_a_second_are_a_gap_up_to_the_copy() -> None:
    wire = Wire()
    wire.play(range(50))
    wire.play(range(200, 210))
    wire.at(212 * FRAME + SAMPLE_RATE // 8)
    assert wire.spans.merged() == [
        (0, 16_000, "ok"),
        (16_000, 199 * FRAME, "no_packets"),
        (199 * FRAME, 200 * FRAME, "fec"),
        (200 * FRAME, 210 * FRAME, "ok"),
    ]


@pytest.mark.parametrize("pause", [0.5, 0.99])
def test_a_shorter_pause_is_filled(pause: float) -> None:
    wire = Wire()
    wire.play(range(50))
    resume = 50 + round(pause * 50)
    wire.play(range(resume, resume + 10), skipped=resume - 50)
    assert wire.spans.total("no_packets") == 0
    assert wire.spans.total("fill") == (resume - 50) * FRAME
    assert wire.frames()[resume] == resume + 1


def test_a_sender_that_froze_its_clock_continues_at_the_present() -> None:
    wire = Wire()
    wire.play(range(50))
    wire.play(range(300, 350), skipped=250, frozen=250 * FRAME)
    assert wire.spans.merged() == [
        (0, 16_000, "ok"),
        (16_000, 300 * FRAME, "no_packets"),
        (300 * FRAME, 350 * FRAME, "ok"),
    ]


def test_a_receiver_that_was_held_up_itself_takes_nothing_for_a_frozen_clock() -> None:
    wire = Wire()
    wire.play(range(50))
    wire.now = 90 * FRAME  # 0.8 s without a tick, then everything that arrived meanwhile
    for number in range(50, 91):
        wire.receiver.receive(wire.packet(number))
    wire.play(range(91, 120))
    assert wire.spans.merged() == [(0, 120 * FRAME, "ok")]


def test_a_slow_clock_is_brought_forward() -> None:
    wire = Wire()
    for number in range(3000):
        wire.at(round(number * FRAME * 1.01))
        wire.receiver.receive(wire.packet(number))
    assert wire.spans.position == pytest.approx(wire.now, abs=0.25 * SAMPLE_RATE)
    assert wire.spans.total("ok") == 3000 * FRAME


def test_a_timestamp_that_jumps_by_an_hour_does_not_make_an_hour() -> None:
    wire = Wire()
    wire.play(range(50))
    wire.play(range(50, 100), frozen=-3600 * SAMPLE_RATE)
    assert wire.spans.position == pytest.approx(100 * FRAME, abs=FRAME)
    assert wire.spans.total("ok") == 100 * FRAME


def test_a_new_ssrc_goes_on_where_the_old_one_stopped() -> None:
    wire = Wire()
    wire.play(range(50))
    stray = wire.packet(50)
    wire._sequence, wire._timestamp, wire._ssrc = 7, 12_345, 2
    wire.play(range(60, 100))
    wire.receiver.receive(stray)  # the old sender's last packet, late
    wire.play(range(100, 110))
    assert wire.spans.merged() == [(0, 16_000, "ok"), (16_000, 19_200, "fill"), (19_200, 110 * FRAME, "ok")]
    assert wire.receiver.counts.restarts == 1


def test_mute_is_a_gap_from_signal_to_signal_whatever_is_sent_meanwhile() -> None:
    wire = Wire()
    wire.play(range(50))
    wire.timeline.mute(50 * FRAME)
    wire.play(range(50, 150))
    wire.at(150 * FRAME)
    wire.timeline.unmute(150 * FRAME)
    wire.play(range(150, 160))
    assert wire.spans.merged() == [(0, 16_000, "ok"), (16_000, 48_000, "muted"), (48_000, 51_200, "ok")]


def test_the_muted_span_is_told_while_it_lasts() -> None:
    wire = Wire()
    wire.play(range(50))
    wire.timeline.mute(50 * FRAME)
    wire.at(50 * FRAME + 5 * SAMPLE_RATE)
    assert wire.spans.position > 50 * FRAME + 4 * SAMPLE_RATE
    assert wire.spans.merged()[-1][2] == "muted"


def test_a_late_burst_is_kept_and_the_delay_given_back_in_the_next_silence() -> None:
    wire = Wire()
    wire.play(range(50))
    wire.at(125 * FRAME)
    for number in range(50, 125):  # 1.5 s arrive at once
        wire.receiver.receive(wire.packet(number))
    wire.play(range(125, 150))
    assert wire.spans.total("ok") == 150 * FRAME
    assert wire.spans.position > 151 * FRAME
    wire.play(range(250, 260), skipped=100)
    assert wire.spans.position == pytest.approx(260 * FRAME, abs=0.05 * SAMPLE_RATE)


def test_padding_takes_a_sequence_number_and_no_time() -> None:
    wire = Wire()
    wire.play(range(10))
    padding = wire.packet(10)
    wire.receiver.receive(OpusPacket(padding.ssrc, padding.sequence, padding.timestamp, b""))
    wire.play(range(11, 20), skipped=0)
    assert wire.receiver.counts.lost == 0
    assert wire.spans.total("plc") == wire.spans.total("fec") == 0


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_the_network_does_the_track_is_exact_and_in_order(data: st.DataObject) -> None:
    wire = Wire(sequence=data.draw(st.integers(0, 0xFFFF)), timestamp=data.draw(st.integers(0, 0xFFFF_FFFF)))
    sent = 200
    events: list[tuple[int, int]] = [(0, 0)]
    for number in range(1, sent):
        fate = data.draw(st.sampled_from(["ok"] * 12 + ["lost", "lost", "twice", "late"]))
        arrival = number * FRAME + data.draw(st.integers(0, FRAME))
        if fate == "late":
            arrival += data.draw(st.integers(FRAME, 5 * FRAME))
        if fate != "lost":
            events.append((arrival, number))
        if fate == "twice":
            events.append((arrival + 500, number))
    mutes = sorted(data.draw(st.lists(st.integers(1, sent * FRAME), max_size=4)))
    actions = sorted([(at, "packet", number) for at, number in events] + [(at, "mute", 0) for at in mutes])
    for at, action, number in actions:
        wire.at(at)
        if action == "packet":
            wire.receiver.receive(wire.packet(number))
        elif wire.timeline.muted:
            wire.timeline.unmute(wire.now)
        else:
            wire.timeline.mute(wire.now)
    end = max(sent * FRAME + 2 * SAMPLE_RATE, wire.spans.position)
    wire.finish(end)

    assert wire.spans.position == end
    assert len(wire.spans.pcm) == 2 * end
    values = np.frombuffer(bytes(wire.spans.pcm), "<i2")
    said = values[(values > 0) & (values < 0x7FFF)]
    assert (np.diff(said) >= 0).all(), "what was said is out of order"
    for number in np.unique(said):
        assert np.abs(np.flatnonzero(values == number)[0] - (int(number) - 1) * FRAME) < 0.5 * SAMPLE_RATE
    for start, stop, kind in wire.spans.spans:
        if kind == "fill":
            assert stop - start <= SAMPLE_RATE
