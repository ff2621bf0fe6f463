"""Capture: a dead device is told from a quiet room, within 30 s, and nobody who is merely silent is accused."""

import shutil
import subprocess
import time
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.connector.receive.opus import OpusDecoder
from services.ingest.intake.track import SpanKind
from services.ingest.live.capture import ALIVE_SAMPLES, DEAD_SAMPLES, MISSING_SAMPLES, CaptureWatch
from services.ingest.timeline import SAMPLE_RATE_HERTZ

SECOND = SAMPLE_RATE_HERTZ
FRAME = SECOND // 10
Pcm = NDArray[np.int16]


class Track:
    """A track as the room receives it."""

    def __init__(self, frame: int = FRAME) -> None:
        self.watch = CaptureWatch()
        self.position = 0
        self.raised_at: list[float] = []
        """Seconds at which a problem began."""
        self._frame = frame

    def say(self, pcm: Pcm, kind: SpanKind = SpanKind.HEARD) -> None:
        for start in range(0, len(pcm), self._frame):
            had = self.kind
            piece = pcm[start : start + self._frame]
            self.watch.audio(self.position, piece, kind)
            self.position += len(piece)
            if self.kind and not had:
                self.raised_at.append(self.position / SECOND)

    def miss(self, seconds: float, *, owed: bool) -> None:
        for _ in range(round(seconds * 2)):
            self.watch.gap(self.position, self.position + SECOND // 2, owed=owed)
            self.position += SECOND // 2

    @property
    def kind(self) -> str:
        problem = self.watch.problem()
        return problem.kind if problem else ""


def zeros(seconds: float) -> Pcm:
    return np.zeros(round(seconds * SECOND), np.int16)


def room(seconds: float, dbfs: float, seed: int = 1) -> Pcm:
    """A still room: white noise of a level, with the dither of a 16-bit converter."""
    dice = np.random.default_rng(seed)
    samples = round(seconds * SECOND)
    noise = dice.normal(0, 32_768 * 10 ** (dbfs / 20), samples)
    dither = dice.uniform(-0.5, 0.5, samples) + dice.uniform(-0.5, 0.5, samples)
    return np.round(noise + dither).clip(-32_768, 32_767).astype(np.int16)


def loop(seconds: float, period: int, seed: int = 1) -> Pcm:
    buffer = np.random.default_rng(seed).normal(0, 400, period).astype(np.int16)
    return np.resize(buffer, round(seconds * SECOND))


@pytest.mark.parametrize("dbfs", [-90, -80, -70, -60, -50])
@pytest.mark.parametrize("frame", [160, 320, FRAME, SECOND])
def test_a_still_room_is_alive(dbfs: int, frame: int):
    track = Track(frame)
    track.say(room(30, dbfs))
    assert track.kind == ""


@pytest.mark.parametrize("frame", [160, 320, 333, FRAME, 16_384])
@pytest.mark.parametrize("value", [0, 1, -700, 32_767, -32_768])
def test_one_frozen_value_is_a_dead_capture_within_half_a_minute(value: int, frame: int):
    track = Track(frame)
    track.say(np.full(40 * SECOND, value, np.int16))
    assert track.kind == "silent_capture"
    assert 20 <= track.raised_at[0] <= 22
    problem = track.watch.problem()
    assert problem is not None
    assert problem.since_sample == 0


@pytest.mark.parametrize("period", [100, 160, 341, 1_024, 4_800, 15_999])
@pytest.mark.parametrize("frame", [320, FRAME, 16_384])
def test_a_buffer_that_repeats_is_a_dead_capture_within_half_a_minute(period: int, frame: int):
    track = Track(frame)
    track.say(room(5, -60))
    track.say(loop(35, period))
    assert track.kind == "silent_capture"
    assert track.raised_at[0] - 5 <= 28


def test_a_capture_that_dies_in_the_middle_says_since_when_and_one_that_revives_clears():
    track = Track()
    track.say(room(10, -60))
    track.say(zeros(21))
    problem = track.watch.problem()
    assert problem is not None
    assert problem.since_sample == 10 * SECOND
    track.say(room(0.2, -70, seed=2))
    assert track.kind == ""


def test_a_click_is_not_life():
    track = Track()
    track.say(zeros(21))
    track.say(np.array([0, 9_000, -9_000] + [0] * 317, np.int16))
    assert track.kind == "silent_capture"


def test_a_pause_of_digital_silence_between_words_is_no_problem():
    track = Track()
    for number in range(20):
        track.say(room(1, -30, seed=number))
        track.say(zeros(15))
    assert track.raised_at == []


def test_what_was_not_sent_is_no_dead_capture():
    track = Track()
    track.say(room(1, -60))
    track.say(zeros(0.5))
    for _ in range(100):
        track.say(zeros(1), SpanKind.FILL)
    assert track.raised_at == []


def test_frames_of_nothing_from_a_sender_that_suppresses_silence_are_a_dead_capture():
    """What a browser sends of a dead microphone: a frame every 400 ms, with no comfort noise in it."""
    track = Track()
    for _ in range(60):
        track.say(zeros(0.02))
        track.say(zeros(0.38), SpanKind.FILL)
    assert track.kind == "silent_capture"
    assert track.raised_at[0] <= 22
    for _ in range(5):
        track.say(room(0.02, -80))
        track.say(zeros(0.38), SpanKind.FILL)
    assert track.kind == ""


def test_comfort_noise_of_a_sender_that_suppresses_silence_is_alive():
    track = Track()
    for number in range(100):
        track.say(room(0.02, -85, seed=number))
        track.say(zeros(0.38), SpanKind.FILL)
    assert track.raised_at == []


def test_a_muted_participant_is_no_dead_capture_before_during_or_after():
    track = Track()
    track.say(zeros(15))
    track.miss(120, owed=False)
    track.say(zeros(15))
    assert track.raised_at == []
    track.say(zeros(6))
    assert track.kind == "silent_capture"
    track.miss(1, owed=False)
    assert track.kind == ""


def test_what_was_invented_for_lost_packets_neither_kills_nor_revives():
    track = Track()
    for _ in range(30):
        track.say(zeros(0.9))
        track.say(room(0.1, -40), SpanKind.CONCEALED)
    assert track.kind == "silent_capture"
    assert track.raised_at[0] <= 30
    other = Track()
    other.say(room(5, -60))
    other.say(zeros(60), SpanKind.CONCEALED)
    assert other.kind == ""


def test_a_track_on_which_nothing_comes_has_no_audio():
    track = Track()
    track.say(room(5, -60))
    track.miss(19, owed=True)
    assert track.kind == ""
    track.miss(2, owed=True)
    assert track.kind == "no_audio"
    problem = track.watch.problem()
    assert problem is not None
    assert problem.since_sample == 5 * SECOND
    track.say(room(0.1, -60))
    assert track.kind == ""


def test_waiting_counts_as_nothing_coming():
    watch = CaptureWatch(start_sample=3 * SECOND)
    assert watch.problem(MISSING_SAMPLES - 1) is None
    problem = watch.problem(MISSING_SAMPLES)
    assert problem is not None
    assert (problem.kind, problem.since_sample) == ("no_audio", 3 * SECOND)


@pytest.mark.parametrize("options", [{}, {"application": "audio"}, {"fec": "1", "packet_loss": "10"}])
@pytest.mark.parametrize("value", [0, 900])
def test_a_dead_capture_is_known_behind_opus_and_a_still_room_too(value: int, options: dict[str, str]):
    """A decoder gives a dead input back with a +1 or -1 here and there, which is not life."""
    dead = Track()
    dead.say(through_opus(np.concatenate([room(2, -30), np.full(24 * SECOND, value, np.int16)]), options))
    assert dead.kind == "silent_capture"
    still = Track()
    still.say(through_opus(room(24, -90), options))
    assert still.kind == ""


def through_opus(pcm: Pcm, options: dict[str, str]) -> Pcm:
    av = pytest.importorskip("av")
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = SECOND, "mono", "s16", 32_000
    encoder.options = {"frame_duration": "20", "application": "voip", **options}
    decoder, decoded = OpusDecoder(), bytearray()
    for start in range(0, len(pcm) - 319, 320):
        frame = av.AudioFrame.from_ndarray(pcm[None, start : start + 320], format="s16", layout="mono")
        frame.sample_rate, frame.pts = SECOND, start
        for packet in encoder.encode(frame):
            decoded += decoder.decode(bytes(packet))
    return np.frombuffer(bytes(decoded), "<i2")


@given(st.lists(st.sampled_from(["zero", "room", "loop", "fill", "muted", "missing"]), max_size=12))
@settings(max_examples=30, deadline=None)
def test_the_same_audio_says_the_same_however_it_is_cut(pieces: list[str]):
    watches = []
    for frame in (320, 1_600, 6_400):
        track = Track(frame)
        for number, piece in enumerate(pieces):
            match piece:
                case "zero":
                    track.say(zeros(8))
                case "room":
                    track.say(room(2, -80, seed=number))
                case "loop":
                    track.say(np.full(6 * SECOND, 77, np.int16))
                case "fill":
                    track.say(zeros(0.4), SpanKind.FILL)
                case "muted":
                    track.miss(1, owed=False)
                case "missing":
                    track.miss(8, owed=True)
        watches.append(track.watch.problem())
    assert watches[0] == watches[1] == watches[2]


def test_watching_costs_little():
    noise = room(60, -60)
    track = Track(320)
    began = time.process_time()
    track.say(noise)
    spent = time.process_time() - began
    # 20 us per block of 20 ms on a machine at rest; the bound is for a busy one.
    assert spent / (len(noise) / 320) < 100e-6


@pytest.mark.system
def test_a_person_who_speaks_and_pauses_is_alive(tmp_path: Path):
    assert shutil.which("espeak-ng"), "apt-get install espeak-ng"
    path = tmp_path / "said.wav"
    text = "Tell me about the hardest problem that you have solved. Take your time."
    subprocess.run(["espeak-ng", "-w", str(path), text], check=True, timeout=30)
    with wave.open(str(path)) as file:
        rate, samples = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2")
    places = np.arange(0, len(samples) - 1, rate / SECOND)
    said = np.interp(places, np.arange(len(samples)), samples).astype(np.int16)
    track = Track()
    for number in range(4):
        track.say(said)
        track.say(room(25, -75, seed=number))  # thinks
    assert track.raised_at == []
    track.say(zeros(25))
    assert track.kind == "silent_capture"
    track.say(said)
    assert track.kind == ""


def test_the_bounds_leave_time_to_tell():
    assert DEAD_SAMPLES <= 25 * SECOND
    assert ALIVE_SAMPLES <= SECOND
