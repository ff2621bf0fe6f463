"""One offer and its answer: a connection that receives the voices of a server that we subscribe to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiortc import RTCPeerConnection, RTCSessionDescription

from kit.telemetry import logs
from services.connector.receive.receiver import OpusPacket
from services.connector.webrtc import aiortc_private
from services.connector.webrtc.connection import (
    Lifetime,
    close_connection,
    make_connection,
    prefer_opus,
    set_local,
    tap_track,
)
from services.connector.webrtc.ice import IceAccess
from services.connector.webrtc.sdp import AudioLine, audio_lines, fault_of

GATHER_SECONDS = 10.0

log = logs.get()


class AnswerUnusable(Exception):
    """The answer does not fit the offer, or the offer could not be made; the message says which."""


class Offered(Lifetime):
    """A connection that was offered; see `open_offered`.

    Attributes:
        sdp: the offer, with every candidate in it.
    """

    def __init__(self, connection: RTCPeerConnection) -> None:
        super().__init__()
        self.sdp = ""
        self._connection = connection

    async def accept(self, answer_sdp: str) -> Sequence[AudioLine]:
        """Take the answer; returns its audio lines that send.

        Raises:
            AnswerUnusable: it does not fit, or sends nothing.
        """
        if fault := fault_of(answer_sdp):
            raise AnswerUnusable(f"the answer cannot be taken: {fault}")
        lines = [line for line in audio_lines(answer_sdp) if line.sends]
        if not lines:
            raise AnswerUnusable("the answer sends no audio")
        try:
            async with asyncio.timeout(GATHER_SECONDS):
                await self._connection.setRemoteDescription(RTCSessionDescription(answer_sdp, "answer"))
                aiortc_private.learn_ssrcs(self._connection)
        except Exception as error:  # the edge: a server may answer anything, and aiortc checks by failing
            log.info("answer_not_accepted", error=repr(error)[:200])
            raise AnswerUnusable("the answer does not fit the offer") from error
        return lines


@asynccontextmanager
async def open_offered(
    audio_line_count: int,
    ice: IceAccess,
    *,
    on_packet: Callable[[str, OpusPacket], None],
    on_state: Callable[[str], None] = lambda state: None,
) -> AsyncIterator[Offered]:
    """Offer to receive audio for the block; the connection is closed at its end.

    Args:
        audio_line_count: how many audio lines to offer.
        ice: STUN and TURN servers of ours.
        on_packet: takes the MID of an audio line and a packet of it, on the event loop; it must not wait.
        on_state: told of "connecting", "connected" and then "closed" or "failed".

    Raises:
        AnswerUnusable: no offer could be made in time.
    """
    aiortc_private.install()
    connection = make_connection(ice)
    offered = Offered(connection)
    offered.follow(connection, on_state)
    connection.on("track", lambda track: tap_track(connection, track, on_packet))
    try:
        for _ in range(audio_line_count):
            prefer_opus(connection)
        try:
            async with asyncio.timeout(GATHER_SECONDS):
                await set_local(connection, await connection.createOffer())
        except TimeoutError as error:
            raise AnswerUnusable(f"no offer could be made within {GATHER_SECONDS:g} s") from error
        offered.sdp = connection.localDescription.sdp
        yield offered
    finally:
        await close_connection(connection)
