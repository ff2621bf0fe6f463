"""The way of a packet, between two real connections: past the queues, with reports to the sender, through rubbish."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from examples.callers.player import Player, PlayerTrack
from examples.callers.speech import speech_from_samples
from services.connector.receive.receiver import OpusPacket
from services.connector.webrtc import aiortc_private
from tests.integration.connector.harness import speech_like, until


class Ends:
    """A connection that speaks on each of its lines, and one that hears the first line only."""

    def __init__(self) -> None:
        self.sender = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.receiver = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.taken: list[OpusPacket] = []
        self.receiver.on("track", self._track)

    def _track(self, track: Any) -> None:
        receivers = [transceiver.receiver for transceiver in self.receiver.getTransceivers()]
        if receivers[0].track is track:
            aiortc_private.tap(receivers[0], self.taken.append)
        else:
            aiortc_private.discard(next(receiver for receiver in receivers if receiver.track is track))

    @property
    def straight(self) -> bool:
        """Whether packets go the short way."""
        transport = self.receiver.getReceivers()[0].transport.transport
        return "data_received" in vars(transport._connection)


@asynccontextmanager
async def connected(lines: int = 1) -> AsyncIterator[Ends]:
    """Connect two ends for the block, speaking."""
    aiortc_private.install()
    ends = Ends()
    player = Player(speech_from_samples(speech_like(8.0, 1)))
    for _ in range(lines):
        ends.sender.addTransceiver(PlayerTrack(player), direction="sendonly")
    try:
        await ends.sender.setLocalDescription(await ends.sender.createOffer())
        offer = ends.sender.localDescription
        await ends.receiver.setRemoteDescription(RTCSessionDescription(offer.sdp, offer.type))
        await ends.receiver.setLocalDescription(await ends.receiver.createAnswer())
        answer = ends.receiver.localDescription
        await ends.sender.setRemoteDescription(RTCSessionDescription(answer.sdp, answer.type))
        await until(lambda: ends.receiver.connectionState == "connected")
        player.start()
        await until(lambda: len(ends.taken) > 5)
        yield ends
    finally:
        await asyncio.gather(ends.sender.close(), ends.receiver.close())


async def test_packets_go_straight_and_the_sender_still_gets_its_reports() -> None:
    async with connected() as ends:
        assert ends.straight
        before = len(ends.taken)

        async def reported() -> bool:
            stats = await ends.sender.getSenders()[0].getStats()
            return any(each.type == "remote-inbound-rtp" and each.packetsLost == 0 for each in stats.values())

        async with asyncio.timeout(20):
            while not await reported():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await until(lambda: len(ends.taken) > before + 5)
        assert len({packet.sequence for packet in ends.taken}) == len(ends.taken)


async def test_a_new_ssrc_is_followed_and_reported_too() -> None:
    async with connected() as ends:
        sender = ends.sender.getSenders()[0]
        first, sender._ssrc = sender._ssrc, (sender._ssrc + 1) & 0xFFFF_FFFF
        await until(lambda: ends.taken[-1].ssrc != first)
        receiver = ends.receiver.getReceivers()[0]
        assert set(receiver._RTCRtpReceiver__remote_streams) == {first, sender._ssrc}  # type: ignore[attr-defined]


async def test_rubbish_and_empty_datagrams_do_not_end_a_call() -> None:
    async with connected() as ends:
        pair = ends.receiver.getReceivers()[0].transport.transport._connection._nominated[1]
        target = pair.protocol.transport.get_extra_info("sockname")[:2]
        broken_stun = b"\x00\x01\x00\x08\x21\x12\xa4\x42" + bytes(12) + b"\x00\x24\x00\x01\x00\x00\x00\x00"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for rubbish in (b"", b"\x80", b"\x80\x60" + bytes(40), b"\x16" + bytes(60), b"\xff", broken_stun):
                stranger.sendto(rubbish, target)
        before = len(ends.taken)
        await until(lambda: len(ends.taken) > before + 20)
        assert ends.receiver.connectionState == "connected"


async def test_nothing_is_kept_of_a_line_that_nobody_reads() -> None:
    async with connected(lines=2) as ends:
        await until(lambda: len(ends.taken) > 40)
        for receiver in ends.receiver.getReceivers():
            assert receiver.track._queue.qsize() == 0  # type: ignore[attr-defined]
            assert receiver._RTCRtpReceiver__decoder_queue.qsize() == 0  # type: ignore[attr-defined]
        assert {packet.ssrc for packet in ends.taken} == {ends.sender.getSenders()[0]._ssrc}
