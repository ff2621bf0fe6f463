"""What is used of aiortc and aioice beyond their public interface: all of it here, each name held by a contract test.

Known with aiortc 1.16 and aioice 0.13. The stock receive path loses a quarter of the audio at 5 % packet loss, its
router never looks at the MID, its answers ask for neither DTX nor error correction, and ICE knows no loopback.
"""

import re
from collections.abc import Callable
from typing import Any

import aioice.ice
import aiortc.codecs
from aiortc import RTCPeerConnection, RTCRtpReceiver
from aiortc.rtcdtlstransport import RtpRouter
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import RtcpByePacket

from services.connector.receive.receiver import OpusPacket

OPUS_PARAMETERS = {"minptime": 10, "useinbandfec": 1, "usedtx": 1}
CONSENT_FAILURES = 5
CONSENT_INTERVAL_SECONDS = 2
_LOOPBACK = "127.0.0.1"

# Named as the interpreter does: a double underscore hides a name behind its class.
_STREAMS = "_RTCRtpReceiver__remote_streams"
_CODECS = "_RTCRtpReceiver__codecs"
_HANDLE_RTP = "_handle_rtp_packet"
_HANDLE_RTCP = "_handle_rtcp_packet"
_ROUTE = "route_rtp"

_list_host_addresses = aioice.ice.get_host_addresses
_route_rtp = getattr(RtpRouter, _ROUTE)


def install() -> None:
    """Apply the corrections to the process; calling it again changes nothing."""
    opus = next(codec for codec in aiortc.codecs.CODECS["audio"] if codec.name == "opus")
    opus.parameters = dict(OPUS_PARAMETERS)
    aioice.ice.CONSENT_FAILURES = CONSENT_FAILURES
    aioice.ice.CONSENT_INTERVAL = CONSENT_INTERVAL_SECONDS
    aioice.ice.get_host_addresses = _host_addresses
    setattr(RtpRouter, _ROUTE, _route_by_mid)


def tap(receiver: RTCRtpReceiver, on_packet: Callable[[OpusPacket], None]) -> None:
    """Take the receiver's Opus packets before its jitter buffer; reports to the sender go on as before.

    Args:
        receiver: an audio receiver; its track yields nothing any more.
        on_packet: called on the event loop for each packet.
    """
    streams: dict[int, StreamStatistics] = getattr(receiver, _STREAMS)
    codecs: dict[int, Any] = getattr(receiver, _CODECS)
    handle_rtcp = getattr(receiver, _HANDLE_RTCP)

    async def take_rtp(packet: Any, arrival_time_ms: int) -> None:
        codec = codecs.get(packet.payload_type)
        if codec is None or codec.name != "opus":
            return
        # These statistics feed the receiver reports, by which a browser raises its error correction.
        statistics = streams.get(packet.ssrc)
        if statistics is None:
            statistics = streams[packet.ssrc] = StreamStatistics(codec.clockRate)
        statistics.add(packet)
        on_packet(OpusPacket(packet.ssrc, packet.sequence_number, packet.timestamp, packet.payload))

    async def take_rtcp(packet: Any) -> None:
        if not isinstance(packet, RtcpByePacket):  # a BYE would end the track although a new SSRC may follow
            await handle_rtcp(packet)

    setattr(receiver, _HANDLE_RTP, take_rtp)
    setattr(receiver, _HANDLE_RTCP, take_rtcp)


def discard(receiver: RTCRtpReceiver) -> None:
    """Drop what arrives for a track that nobody reads: unread, it would be queued without bound."""
    receiver._enabled = False


def learn_ssrcs(connection: RTCPeerConnection) -> None:
    """Teach the router the SSRCs of a new remote description: aiortc learns them only from the first one."""
    transceivers = {transceiver.mid: transceiver for transceiver in connection.getTransceivers()}
    for section in re.split(r"(?=^m=)", connection.remoteDescription.sdp, flags=re.MULTILINE)[1:]:
        mid = re.search(r"^a=mid:(\S+)", section, flags=re.MULTILINE)
        transceiver = transceivers.get(mid.group(1)) if mid else None
        if transceiver is None:
            continue
        table = transceiver.receiver.transport._rtp_router.ssrc_table
        for ssrc in re.findall(r"^a=ssrc:(\d+)", section, flags=re.MULTILINE):
            table[int(ssrc)] = transceiver.receiver


def _route_by_mid(router: RtpRouter, packet: Any) -> Any:
    """Route as RFC 9143 section 9.2 says: the MID wins, and teaches the SSRC."""
    receiver = router.mid_table.get(packet.extensions.mid or "")
    if receiver is not None and router.ssrc_table.get(packet.ssrc) is not receiver:
        router.ssrc_table[packet.ssrc] = receiver
    return _route_rtp(router, packet)


def _host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    """List the machine's addresses; loopback when it has no other, or calls on such a machine would hang in "new"."""
    addresses: list[str] = _list_host_addresses(use_ipv4, use_ipv6)
    return addresses or ([_LOOPBACK] if use_ipv4 else [])
