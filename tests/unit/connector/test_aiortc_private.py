"""The private names of aiortc and aioice that are used: these tests fail when a new version changes them."""

import asyncio
import inspect

import aioice.ice
import aiortc.codecs
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.rtcdtlstransport import RTCDtlsTransport, RtpRouter
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import HeaderExtensions, RtpPacket

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
        [], signal=signal, on_packet=lambda _: None, on_connected=lambda: None, on_publishing=publishing.append
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
