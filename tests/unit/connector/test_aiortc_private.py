"""The private names of aiortc and aioice that are used: these tests fail when a new version changes them."""

import asyncio
import inspect
import re
import struct

import aioice.ice
import aioice.stun
import aiortc.codecs
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport, RtpRouter
from aiortc.rtcicetransport import RTCIceGatherer, RTCIceTransport
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import HeaderExtensions, RtcpReceiverInfo, RtpPacket

from services.connector.receive.receiver import OpusPacket
from services.connector.webrtc import aiortc_private


async def test_a_receiver_still_has_what_the_tap_replaces() -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    receiver = connection.addTransceiver("audio").receiver
    assert receiver._RTCRtpReceiver__remote_streams == {}  # type: ignore[attr-defined]
    assert receiver._RTCRtpReceiver__codecs == {}  # type: ignore[attr-defined]
    assert receiver._enabled is True
    assert list(inspect.signature(RTCRtpReceiver._handle_rtp_packet).parameters) == [
        "self",
        "packet",
        "arrival_time_ms",
    ]
    assert list(inspect.signature(RTCRtpReceiver._handle_rtcp_packet).parameters) == ["self", "packet"]
    assert list(inspect.signature(StreamStatistics).parameters) == ["clockrate"]
    assert "receiver._handle_rtp_packet" in inspect.getsource(RTCDtlsTransport._handle_rtp_data)
    assert "recipient._handle_rtcp_packet" in inspect.getsource(RTCDtlsTransport._handle_rtcp_data)
    await connection.close()


async def test_a_tap_gets_opus_alone_and_the_reports_go_on() -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    receiver = connection.addTransceiver("audio").receiver
    opus, *_, other = aiortc.codecs.CODECS["audio"]
    receiver._RTCRtpReceiver__codecs.update({96: opus, 8: other})  # type: ignore[attr-defined]
    taken: list[OpusPacket] = []
    aiortc_private.tap(receiver, taken.append)
    for payload_type, sequence in ((96, 5), (8, 6), (96, 7)):
        packet = RtpPacket(payload_type=payload_type, sequence_number=sequence, timestamp=960 * sequence)
        packet.ssrc, packet.payload = 11, b"x"
        await receiver._handle_rtp_packet(packet, arrival_time_ms=0)
    assert [packet.sequence for packet in taken] == [5, 7]
    statistics = receiver._RTCRtpReceiver__remote_streams[11]  # type: ignore[attr-defined]
    assert (statistics.packets_received, statistics.packets_lost) == (2, 1)
    await connection.close()


def test_what_the_short_way_of_a_packet_uses_is_still_there() -> None:
    transport = RTCDtlsTransport(RTCIceTransport(RTCIceGatherer([])), [_certificate()])
    connection = transport.transport._connection
    assert isinstance(connection, aioice.ice.Connection)
    assert "data_received" not in vars(connection)
    assert list(inspect.signature(connection.data_received).parameters) == ["data", "component"]
    assert "self.receiver.data_received(data, self.local_candidate.component)" in inspect.getsource(
        aiortc_private._datagram_received
    )
    assert transport._rx_srtp is None
    assert transport._rtp_router.mid_table == transport._rtp_router.ssrc_table == {}
    pump = inspect.getsource(RTCDtlsTransport._recv_next)
    assert "self._rx_srtp.unprotect(data)" in pump
    assert "RtpPacket.parse(data, self._rtp_header_extensions_map)" in inspect.getsource(
        RTCDtlsTransport._handle_rtp_data
    )
    statistics = inspect.getsource(StreamStatistics.add)
    assert set(re.findall(r"\bpacket\.(\w+)", statistics)) == {"sequence_number", "timestamp"}


def test_an_empty_or_broken_datagram_goes_nowhere() -> None:
    class Receiver:
        """What a protocol hands data to."""

        def __init__(self) -> None:
            self.taken: list[bytes] = []

        def data_received(self, data: bytes, component: int) -> None:
            """Take data."""
            self.taken.append(data)

    receiver = Receiver()
    protocol = aioice.ice.StunProtocol.__new__(aioice.ice.StunProtocol)
    protocol.receiver = receiver  # type: ignore[assignment]
    protocol.local_candidate = aioice.Candidate("1", 1, "udp", 1, "127.0.0.1", 9, "host")
    message = bytes(aioice.stun.Message(aioice.stun.Method.BINDING, aioice.stun.Class.REQUEST))
    broken = message[:2] + (8).to_bytes(2, "big") + message[4:] + b"\x00\x24\x00\x01\x00\x00\x00\x00"
    for data in (b"", broken, b"\x80\x60media", b"\x17dtls"):
        aiortc_private._take_datagram(protocol, data, ("127.0.0.1", 1))
    assert receiver.taken == [b"\x80\x60media", b"\x17dtls"]


def test_a_sender_that_changes_its_ssrc_for_ever_does_not_fill_the_reports() -> None:
    receiver = RTCRtpReceiver("audio", RTCDtlsTransport(RTCIceTransport(RTCIceGatherer([])), [_certificate()]))
    receiver._RTCRtpReceiver__codecs[96] = aiortc.codecs.CODECS["audio"][0]  # type: ignore[attr-defined]
    aiortc_private.tap(receiver, lambda _: None)
    for ssrc in range(500):
        receiver._taken_by_the_connector(96, ssrc, 1, 1, b"x")  # type: ignore[attr-defined]
    streams = receiver._RTCRtpReceiver__remote_streams  # type: ignore[attr-defined]
    assert len(streams) == 8
    assert 499 in streams


def test_timestamps_that_make_no_sense_still_fit_into_a_report(monkeypatch) -> None:
    receiver = RTCRtpReceiver("audio", RTCDtlsTransport(RTCIceTransport(RTCIceGatherer([])), [_certificate()]))
    receiver._RTCRtpReceiver__codecs[96] = aiortc.codecs.CODECS["audio"][0]  # type: ignore[attr-defined]
    aiortc_private.tap(receiver, lambda _: None)
    now = 0.0
    monkeypatch.setattr("aiortc.rtcrtpreceiver.time.time", lambda: now)
    for number in range(400):
        now += 2.0 * (number % 2)
        receiver._taken_by_the_connector(96, 1, number, (number + 1) % 2 * 0xFFFF_FFFF, b"x")  # type: ignore[attr-defined]
    stream = receiver._RTCRtpReceiver__remote_streams[1]  # type: ignore[attr-defined]
    assert StreamStatistics.jitter.fget(stream) >= 1 << 32  # type: ignore[attr-defined]
    assert bytes(RtcpReceiverInfo(1, stream.fraction_lost, stream.packets_lost, stream.max_seq, stream.jitter, 0, 0))


@pytest.mark.parametrize("extension", [b"", b"\xbe\xde\x00\x01\x10\x7f\x00\x00"])
@pytest.mark.parametrize("sources", [0, 2])
@pytest.mark.parametrize("padding", [b"", b"\x00\x00\x03"])
def test_a_header_is_read_as_the_library_reads_it(extension: bytes, sources: int, padding: bytes) -> None:
    flags = 0x80 | sources | (0x10 if extension else 0) | (0x20 if padding else 0)
    header = bytes([flags, 0x80 | 96]) + (513).to_bytes(2, "big") + (70_000).to_bytes(4, "big") + b"\x00\x00\x00\x07"
    packet = header + bytes(4 * sources) + extension + b"payload" + padding
    assert aiortc_private._payload(packet, flags) == RtpPacket.parse(packet).payload == b"payload"
    with pytest.raises((ValueError, struct.error)):
        aiortc_private._payload(packet[: 12 + 4 * sources - 1], flags | 0x10)


def _certificate() -> RTCCertificate:
    return RTCCertificate.generateCertificate()


def test_the_router_still_has_its_tables_and_follows_the_mid() -> None:
    aiortc_private.install()
    router = RtpRouter()
    first, second = object(), object()
    router.register_receiver(first, ssrcs=[1], payload_types=[96], mid="0")  # type: ignore[arg-type]
    router.register_receiver(second, ssrcs=[2], payload_types=[96], mid="1")  # type: ignore[arg-type]
    packet = RtpPacket(payload_type=96)
    packet.ssrc, packet.extensions = 77, HeaderExtensions(mid="1")
    assert router.route_rtp(packet) is second
    packet.extensions = HeaderExtensions()
    assert router.route_rtp(packet) is second


def test_installing_asks_senders_for_dtx_and_recovery_and_shortens_consent() -> None:
    aiortc_private.install()
    aiortc_private.install()
    opus = next(codec for codec in aiortc.codecs.CODECS["audio"] if codec.name == "opus")
    assert opus.parameters == {"minptime": 10, "useinbandfec": 1, "usedtx": 1}
    assert (aioice.ice.CONSENT_FAILURES, aioice.ice.CONSENT_INTERVAL) == (5, 2)
    assert "CONSENT_FAILURES" in inspect.getsource(aioice.ice.Connection.query_consent)
    assert "CONSENT_INTERVAL" in inspect.getsource(aioice.ice.Connection.query_consent)
    assert list(inspect.signature(aioice.ice.get_host_addresses).parameters) == ["use_ipv4", "use_ipv6"]
    assert "get_host_addresses(" in inspect.getsource(aioice.ice.Connection.gather_candidates)


async def test_an_answer_asks_for_opus_with_dtx_and_recovery_and_for_no_video() -> None:
    from services.connector.webrtc.ice import IceAccess
    from services.connector.webrtc.peer import PeerLink

    aiortc_private.install()
    offering = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    offering.addTransceiver("audio", direction="sendonly")
    offering.addTransceiver("video", direction="sendonly")
    await offering.setLocalDescription(await offering.createOffer())
    answers: asyncio.Queue[dict[str, dict[str, str]]] = asyncio.Queue(1)
    publishing: list[bool] = []

    async def signal(data: dict[str, dict[str, str]]) -> None:
        await answers.put(data)

    link = PeerLink(
        IceAccess(), signal=signal, on_packet=lambda _: None, on_connected=lambda: None, on_publishing=publishing.append
    )
    running = asyncio.create_task(link.run())
    link.deliver({"description": {"type": "offer", "sdp": offering.localDescription.sdp}})
    async with asyncio.timeout(10):
        answer = (await answers.get())["description"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert publishing == [True]
    audio, video = answer["sdp"].split("m=")[1:]
    assert "minptime=10;useinbandfec=1;usedtx=1" in audio
    assert "a=recvonly" in audio
    assert "PCMU" not in audio
    assert "a=inactive" in video
    await offering.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
    await offering.close()


def test_a_machine_with_loopback_alone_can_still_hold_a_call(monkeypatch) -> None:
    monkeypatch.setattr(aiortc_private, "_list_host_addresses", lambda use_ipv4, use_ipv6: [])
    assert aiortc_private._host_addresses(True, False) == ["127.0.0.1"]
    monkeypatch.setattr(aiortc_private, "_list_host_addresses", lambda use_ipv4, use_ipv6: ["192.0.2.7"])
    assert aiortc_private._host_addresses(True, True) == ["192.0.2.7"]
