"""What is left of speech after packet loss, with the real codec."""

import numpy as np
import pytest

from examples.callers import speech_from_samples
from services.connector.receive.opus import OpusDecoder
from services.connector.receive.receiver import AudioReceiver, OpusPacket
from services.connector.receive.timeline import Timeline
from tests.fakes.spans import RecordedSpans
from tests.integration.connector.harness import place_of, speech_like

FRAME = 320


@pytest.mark.parametrize(("loss", "least"), [(0.0, 0.99), (0.05, 0.98), (0.2, 0.95)])
def test_speech_survives_packet_loss(loss: float, least: float) -> None:
    said = speech_like(12.0, 1)
    speech = speech_from_samples(said)
    dice = np.random.default_rng(7)
    spans, now = RecordedSpans(), 0
    timeline = Timeline(spans, 0)
    receiver = AudioReceiver(timeline, lambda: now, OpusDecoder)
    sequence = 65_530
    for number, packet in enumerate(speech.packets):
        now = number * FRAME
        if number % 5 == 0:
            receiver.poll()
        payload = packet or (speech.silence if number % 20 == 0 else None)
        if payload is None:
            continue
        sequence = (sequence + 1) & 0xFFFF
        if dice.random() >= loss:
            receiver.receive(OpusPacket(1, sequence, number * FRAME * 3, payload))
    receiver.flush()
    timeline.finish(len(said))

    start, correlation = place_of(said[: -2 * FRAME], np.frombuffer(bytes(spans.pcm), "<i2"))
    assert spans.position == len(said)
    assert start == pytest.approx(104, abs=2)  # the encoder's own delay
    assert correlation > least
