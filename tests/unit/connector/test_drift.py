"""Sender clocks that run fast or slow, for an hour; and whatever a sender may do at once: the track stays exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.connector.receive.receiver import AudioReceiver, OpusPacket
from services.connector.receive.timeline import Timeline
from services.connector.spans import SAMPLE_RATE, Kind, Reason
from tests.fakes.spans import NumberedDecoder, RecordedSpans, numbered

FRAME = 320
LONG = 6 * FRAME
"""120 ms, the longest Opus packet: an hour of them is quickly simulated."""
LOUD, QUIET = b"\x10\x27\xf0\xd8", b"\x20\x00\xe0\xff"


class ShadedDecoder:
    """Decodes to 120 ms, loud or quiet as the payload says; nothing is ever recovered."""

    def decode(self, packet: bytes) -> bytes:
        """Return the frame."""
        return packet * (LONG // 2)

    def recover(self, packet: bytes, samples: int) -> bytes:
        """Return silence."""
        return bytes(2 * samples)

    def conceal(self, samples: int) -> bytes:
        """Return silence."""
        return bytes(2 * samples)

    def carries_recovery(self, packet: bytes) -> bool:
        """Return no."""
        return False


class Places:
    """A sink that keeps no samples: how the spans follow each other, and how far the track is from the present."""

    def __init__(self) -> None:
        self.position = 0
        self.totals: dict[str, int] = {}

    def audio(self, start_sample: int, pcm: bytes, kind: Kind) -> None:
        """Take samples."""
        self._add(start_sample, start_sample + len(pcm) // 2, kind.value)

    def gap(self, start_sample: int, end_sample: int, reason: Reason) -> None:
        """Take a span without samples."""
        self._add(start_sample, end_sample, reason.value)

    def _add(self, start: int, end: int, kind: str) -> None:
        assert start == self.position < end
        self.position = end
        self.totals[kind] = self.totals.get(kind, 0) + end - start


def call_of(ppm: float, *, pauses: str, seconds: int) -> tuple[list[float], Places, AudioReceiver]:
    """Hold a call whose sender's clock is off by `ppm`; returns the track's lead over the present each second."""
    places, now = Places(), 0
    receiver = AudioReceiver(Timeline(places, 0), lambda: now, ShadedDecoder)
    dice = np.random.default_rng(3)
    delays = dice.exponential(0.004, seconds * 9)
    errors = []
    sequence = 0
    for number in range(seconds * SAMPLE_RATE // LONG):
        sent = number * LONG / (1 + ppm / 1e6)
        pausing = number % 50 >= 45
        now = round(sent + delays[number % len(delays)] * SAMPLE_RATE)
        if number % 2 == 0:
            receiver.poll()
        if pausing and pauses == "dtx":
            continue
        sequence = (sequence + 1) & 0xFFFF
        payload = QUIET if pausing and pauses == "quiet" else LOUD
        receiver.receive(OpusPacket(1, sequence, (number * LONG * 3) & 0xFFFF_FFFF, payload))
        if number % 8 == 0 and not pausing:
            errors.append((places.position - LONG - sent) / SAMPLE_RATE)
    return errors, places, receiver


@pytest.mark.parametrize(
    ("pauses", "ppm", "seconds"),
    [
        *(("dtx", ppm, 3600) for ppm in (-300, -50, 50, 300)),
        *(("quiet", ppm, 1200) for ppm in (-300, 300)),
    ],
)
def test_an_hour_of_drift_is_mended_in_the_pauses(pauses: str, ppm: float, seconds: int) -> None:
    errors, places, receiver = call_of(ppm, pauses=pauses, seconds=seconds)
    assert max(map(abs, errors)) < 0.2
    assert set(places.totals) <= {"ok", "fill"}
    assert receiver.counts.lost == receiver.counts.late == receiver.counts.restarts == 0
    if pauses == "dtx":
        assert receiver.counts.trimmed == 0


@pytest.mark.parametrize("ppm", [-1000, 1000])
def test_without_any_pause_the_track_is_still_half_a_second_away_at_most(ppm: float) -> None:
    errors, places, receiver = call_of(ppm, pauses="none", seconds=900)
    assert max(map(abs, errors)) < 0.75
    assert set(places.totals) <= {"ok", "fill"}
    assert receiver.counts.trimmed * LONG < 2e-3 * places.position


def test_a_timestamp_that_jumps_back_by_an_hour_costs_nothing() -> None:
    spans, now = RecordedSpans(), 0
    receiver = AudioReceiver(Timeline(spans, 0), lambda: now, NumberedDecoder)
    for number in range(100):
        now = number * FRAME
        back = 3600 * SAMPLE_RATE if number >= 50 else 0
        timestamp = ((number * FRAME - back) * 3) & 0xFFFF_FFFF
        receiver.receive(OpusPacket(1, number, timestamp, numbered(number + 1)))
    assert spans.merged() == [(0, 100 * FRAME, "ok")]


def test_packets_longer_than_their_timestamps_say_do_not_run_ahead_of_time() -> None:
    places, now = Places(), 0
    receiver = AudioReceiver(Timeline(places, 0), lambda: now, ShadedDecoder)
    for number in range(1000):
        now = number * FRAME
        receiver.receive(OpusPacket(1, number, number * FRAME * 3, LOUD))
        assert places.position < now + 2.5 * SAMPLE_RATE


def test_what_was_lost_right_before_a_mute_is_called_lost() -> None:
    spans, now = RecordedSpans(), 0
    timeline = Timeline(spans, 0)
    receiver = AudioReceiver(timeline, lambda: now, NumberedDecoder)
    for number in [*range(20), *range(23, 30)]:
        now = number * FRAME
        if number == 25:
            timeline.mute(now)
        receiver.receive(OpusPacket(1, number, number * FRAME * 3, numbered(number + 1)))
    for _ in range(10):
        now += SAMPLE_RATE // 10
        receiver.poll()
    assert [kind for _, _, kind in spans.merged()] == ["ok", "plc", "fec", "ok", "muted"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_spans_touch_and_add_up_whatever_a_sender_does(data: st.DataObject) -> None:
    """New SSRCs, frozen and jumping clocks, drift, DTX, mutes, loss, reordering: spans touch."""
    spans, now = RecordedSpans(), 0
    timeline = Timeline(spans, 0)
    receiver = AudioReceiver(timeline, lambda: now, NumberedDecoder)
    ssrc, sequence, timestamp = 1, data.draw(st.integers(0, 0xFFFF)), data.draw(st.integers(0, 0xFFFF_FFFF))
    rate = 1 + data.draw(st.integers(-500, 500)) / 1e6
    due, number = 0.0, 0
    arriving: list[tuple[int, OpusPacket]] = []
    for _ in range(data.draw(st.integers(1, 40))):
        event = data.draw(st.sampled_from(["talk", "talk", "talk", "dtx", "freeze", "ssrc", "jump", "restart", "mute"]))
        if event == "talk":
            for _ in range(data.draw(st.integers(1, 30))):
                fate = data.draw(st.sampled_from(["ok"] * 9 + ["lost", "late", "twice"]))
                packet = OpusPacket(ssrc, sequence, timestamp, numbered(number % 30_000 + 1))
                delay = data.draw(st.integers(FRAME, 8 * FRAME)) if fate == "late" else 0
                if fate != "lost":
                    arriving += [(int(due) + delay, packet)] * (2 if fate == "twice" else 1)
                sequence, timestamp = (sequence + 1) & 0xFFFF, (timestamp + 960) & 0xFFFF_FFFF
                due, number = due + FRAME * rate, number + 1
        else:
            pause = data.draw(st.integers(0, 3 * SAMPLE_RATE))
            if event == "ssrc":
                ssrc += 1
            elif event == "restart":
                sequence = data.draw(st.integers(0, 0xFFFF))
            elif event == "mute":
                arriving.append((int(due), OpusPacket(0, 0, 0, b"")))
            elif event == "jump":
                timestamp = data.draw(st.integers(0, 0xFFFF_FFFF))
            if event != "freeze":
                timestamp = (timestamp + 3 * pause) & 0xFFFF_FFFF
            due += pause
    arriving.sort(key=lambda each: each[0])
    for moment, packet in arriving:
        while now + 1600 <= moment:
            now += 1600
            receiver.poll()
        now = max(now, moment)
        if packet.ssrc == 0:
            (timeline.unmute if timeline.muted else timeline.mute)(now)
        else:
            receiver.receive(packet)
        assert spans.position <= now + 2.5 * SAMPLE_RATE, "the track has run ahead of the present"
    receiver.flush()
    end = max(round(due), spans.position)
    timeline.finish(end)

    assert spans.position == end  # RecordedSpans has seen each span start where the last one ended
    assert len(spans.pcm) == 2 * end
    assert sum(stop - start for start, stop, _ in spans.spans) == end
    assert {kind for *_, kind in spans.spans} <= {"ok", "fec", "plc", "fill", "muted", "no_packets"}
