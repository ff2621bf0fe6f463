"""What is used of aiortc and aioice beyond their public interface: all of it here, each name held by a contract test.

Known with aiortc 1.16 and aioice 0.13. The stock receive path loses a quarter of the audio at 5 % packet loss, its
router never looks at the MID, its answers ask for neither DTX nor error correction, and ICE knows no loopback. A packet
goes through a queue, two tasks and a parser of everything a header may hold before anybody sees it; an empty
datagram, which anybody can send, ends a connection; and one that is closed while it comes about goes on without end.
"""

import re
from collections.abc import Callable
from struct import Struct
from struct import error as StructError  # noqa: N812 - a class
from typing import Any

import aioice.ice
import aiortc.codecs
from aiortc import RTCPeerConnection, RTCRtpReceiver
from aiortc.rtcdtlstransport import RTCDtlsTransport, RtpRouter
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import RtcpByePacket, RtpPacket
from pylibsrtp import Error as SrtpError

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
_DATAGRAM = "datagram_received"
_CONNECT = "connect"
_RECEIVE = "receive"
_DATA = "data_received"

_TAKE = "_taken_by_the_connector"
"""Name of ours on a tapped receiver: takes payload type, SSRC, sequence number, timestamp, payload."""
_STREAMS_KEPT = 8  # a report has room for 31 senders, and a sender may change its SSRC as often as it likes
_LARGEST_JITTER = (1 << 32) - 1
_LAST_STUN = 3  # first byte, RFC 7983
_FIRST_RTP, _LAST_RTP = 128, 191
_FIRST_RTCP, _LAST_RTCP = 192, 223
_HEADER = Struct("!BBHLL")
_EXTENSION = Struct("!HH")

_list_host_addresses = aioice.ice.get_host_addresses
_route_rtp = getattr(RtpRouter, _ROUTE)
_datagram_received = getattr(aioice.ice.StunProtocol, _DATAGRAM)
_connect = getattr(aioice.ice.Connection, _CONNECT)
_receive = getattr(RTCRtpReceiver, _RECEIVE)


def install() -> None:
    """Apply the corrections to the process; calling it again changes nothing."""
    opus = next(codec for codec in aiortc.codecs.CODECS["audio"] if codec.name == "opus")
    opus.parameters = dict(OPUS_PARAMETERS)
    aioice.ice.CONSENT_FAILURES = CONSENT_FAILURES
    aioice.ice.CONSENT_INTERVAL = CONSENT_INTERVAL_SECONDS
    aioice.ice.get_host_addresses = _host_addresses
    setattr(RtpRouter, _ROUTE, _route_by_mid)
    setattr(aioice.ice.StunProtocol, _DATAGRAM, _take_datagram)
    setattr(aioice.ice.Connection, _CONNECT, _connect_unless_closed)
    setattr(RTCRtpReceiver, _RECEIVE, _receive_unless_closed)


def tap(receiver: RTCRtpReceiver, on_packet: Callable[[OpusPacket], None]) -> None:
    """Take the receiver's Opus packets before its jitter buffer; reports to the sender go on as before.

    The first packet of a connection comes the usual way and opens the short one, which every other takes: decrypted
    and handed over as the datagram arrives.

    Args:
        receiver: an audio receiver; its track yields nothing any more.
        on_packet: called on the event loop for each packet.
    """
    streams: dict[int, StreamStatistics] = getattr(receiver, _STREAMS)
    codecs: dict[int, Any] = getattr(receiver, _CODECS)
    handle_rtcp = getattr(receiver, _HANDLE_RTCP)
    counted: Any = _Counted()

    def take(payload_type: int, ssrc: int, sequence: int, timestamp: int, payload: bytes) -> None:
        codec = codecs.get(payload_type)
        if codec is None or codec.name != "opus":
            return
        # These statistics feed the receiver reports, by which a browser raises its error correction.
        statistics = streams.get(ssrc)
        if statistics is None:
            statistics = streams[ssrc] = _Statistics(codec.clockRate)
            while len(streams) > _STREAMS_KEPT:
                del streams[next(iter(streams))]
        counted.sequence_number, counted.timestamp = sequence, timestamp
        statistics.add(counted)
        on_packet(OpusPacket(ssrc, sequence, timestamp, payload))

    async def take_rtp(packet: Any, arrival_time_ms: int) -> None:
        _shorten(receiver.transport)
        take(packet.payload_type, packet.ssrc, packet.sequence_number, packet.timestamp, packet.payload)

    async def take_rtcp(packet: Any) -> None:
        if not isinstance(packet, RtcpByePacket):  # a BYE would end the track although a new SSRC may follow
            await handle_rtcp(packet)

    setattr(receiver, _TAKE, take)
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


class _Statistics(StreamStatistics):
    """Statistics that fit into a report whatever timestamps came; one that does not would end the reports for good."""

    @property
    def jitter(self) -> int:
        """Interarrival jitter, at most what 32 bits hold."""
        return min(super().jitter, _LARGEST_JITTER)


class _Counted:
    """What the statistics read of a packet; one for all, because they keep nothing of it."""

    __slots__ = ("sequence_number", "timestamp")


def _shorten(transport: RTCDtlsTransport) -> None:
    """Hand RTP over as its datagram arrives; DTLS and RTCP go on as before. Doing it again changes nothing."""
    connection = transport.transport._connection
    if _DATA in vars(connection):
        return
    received = getattr(connection, _DATA)
    router, extensions = transport._rtp_router, transport._rtp_header_extensions_map

    def receive(data: bytes, component: int) -> None:
        srtp: Any = transport._rx_srtp  # None before the handshake is done
        if (
            srtp is None
            or len(data) < _HEADER.size
            or not _FIRST_RTP <= data[0] <= _LAST_RTP
            or _FIRST_RTCP <= data[1] <= _LAST_RTCP
        ):
            received(data, component)
            return
        try:
            plain = srtp.unprotect(data)
            if len(router.mid_table) == 1:
                flags, kind, sequence, timestamp, ssrc = _HEADER.unpack_from(plain)
                receiver = router.ssrc_table.get(ssrc)
                if receiver is not None:
                    take = getattr(receiver, _TAKE, None)
                    if take is not None:
                        take(kind & 0x7F, ssrc, sequence, timestamp, _payload(plain, flags))
                    return
            # An unknown sender, or several lines, between which the MID in the header may decide at any time.
            packet = RtpPacket.parse(plain, extensions)
        except (SrtpError, ValueError, StructError):
            return  # forged, repeated or broken
        take = getattr(router.route_rtp(packet), _TAKE, None)
        if take is not None:
            take(packet.payload_type, packet.ssrc, packet.sequence_number, packet.timestamp, packet.payload)

    setattr(connection, _DATA, receive)


def _payload(packet: bytes, flags: int) -> bytes:
    """Return what follows the header of an RTP packet, without padding.

    Raises:
        ValueError: the packet is shorter than it says.
        struct.error: the same.
    """
    start = _HEADER.size + 4 * (flags & 0x0F)
    if flags & 0x10:
        start += _EXTENSION.size + 4 * _EXTENSION.unpack_from(packet, start)[1]
    end = len(packet)
    if flags & 0x20:
        padding = packet[-1]
        if not padding:
            raise ValueError("no padding where there should be")
        end -= padding
    if start > end:
        raise ValueError("the header is longer than the packet")
    return packet[start:end]


def _take_datagram(protocol: Any, data: bytes, addr: Any) -> None:
    """Tell STUN from media by the first byte; what is neither is dropped."""
    if not data:
        return
    if data[0] > _LAST_STUN:
        protocol.receiver.data_received(data, protocol.local_candidate.component)
        return
    try:
        _datagram_received(protocol, data, addr)
    except StructError:
        return  # an attribute that is shorter than its kind


async def _connect_unless_closed(connection: Any) -> None:
    """Connect; one that was closed while its checks succeeded is not connected, and asks for nobody's consent."""
    await _connect(connection)
    if connection._closing:
        if connection._query_consent_task is not None:
            connection._query_consent_task.cancel()
        raise ConnectionError("closed meanwhile")


async def _receive_unless_closed(receiver: RTCRtpReceiver, parameters: Any) -> None:
    """Begin to receive; on a connection that was closed during its handshake a thread and a task would never end."""
    if not receiver.transport.transport._connection._closing:
        await _receive(receiver, parameters)


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
