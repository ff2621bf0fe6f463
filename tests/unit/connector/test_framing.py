"""Framing: messages of 100 ms, each of one kind."""

from agent.common.v1.audio_pb2 import AudioKind, GapReason
from agent.ingest.v1.audio_service_pb2 import StreamAudioRequest
from services.connector.spans import Kind, Reason, silence
from services.connector.uplink.framing import FRAME_BYTES, Framer


def test_packets_are_gathered_into_messages_of_100_ms() -> None:
    sent: list[StreamAudioRequest] = []
    framer = Framer(1, sent.append)
    for number in range(12):
        framer.audio(number * 320, silence(320), Kind.OK)
    assert [(each.audio.start_sample, len(each.audio.pcm)) for each in sent] == [(0, FRAME_BYTES), (1600, FRAME_BYTES)]
    framer.flush()
    assert sent[-1].audio.start_sample == 3200
    assert len(sent[-1].audio.pcm) == 2 * 640


def test_a_change_of_kind_and_a_gap_end_a_message() -> None:
    sent: list[StreamAudioRequest] = []
    framer = Framer(7, sent.append)
    framer.audio(0, silence(320), Kind.OK)
    framer.audio(320, silence(320), Kind.FEC)
    framer.gap(640, 1000, Reason.MUTED)
    framer.audio(1000, silence(320), Kind.FILL)
    framer.flush(older_than_seconds=60)
    assert [each.WhichOneof("message") for each in sent] == ["audio", "audio", "gap"]
    assert sent[1].audio.kind == AudioKind.AUDIO_KIND_FEC
    assert sent[2].gap.reason == GapReason.GAP_REASON_MUTED
    assert {each.audio.track or each.gap.track for each in sent} == {7}
