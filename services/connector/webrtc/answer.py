"""One answer to one offer: a connection that receives the voices of a publisher who offers once and never again."""

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

ANSWER_SECONDS = 10.0

log = logs.get()


class OfferUnusable(Exception):
    """The offer cannot be answered: not SDP, no audio that is sent, no Opus; the message says which."""


class Answered(Lifetime):
    """A connection that was answered; see `open_answered`.

    Attributes:
        sdp: the latest answer, with every candidate in it.
        lines: the latest offer's audio lines in order; those that send are heard.
    """

    def __init__(self, connection: RTCPeerConnection) -> None:
        super().__init__()
        self.sdp = ""
        self.lines: Sequence[AudioLine] = ()
        self._connection = connection

    async def answer(self, offer_sdp: str) -> str:
        """Answer an offer, the first or a later one of the same peer; returns the answer.

        Raises:
            OfferUnusable: it cannot be answered.
        """
        lines = usable_lines(offer_sdp)
        if not self.lines and not any(line.sends for line in lines):
            raise OfferUnusable("it has no audio line that sends")
        connection = self._connection
        known = sum(transceiver.kind == "audio" for transceiver in connection.getTransceivers())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                for _ in lines[known:]:
                    prefer_opus(connection)
                await connection.setRemoteDescription(RTCSessionDescription(offer_sdp, "offer"))
                aiortc_private.learn_ssrcs(connection)
                for transceiver in connection.getTransceivers():
                    if transceiver.kind == "video":
                        transceiver.direction = "inactive"
                await set_local(connection, await connection.createAnswer())
        except TimeoutError as error:
            raise OfferUnusable(f"it could not be answered within {ANSWER_SECONDS:g} s") from error
        except Exception as error:  # the edge: a publisher may send anything, and aiortc checks by failing
            log.info("offer_not_answered", error=repr(error)[:200])
            raise OfferUnusable("it cannot be answered: Opus audio with ICE and DTLS is needed") from error
        self.lines = lines
        self.sdp = connection.localDescription.sdp
        if "a=candidate:" not in self.sdp:  # no TURN server answered where nothing else may be used
            raise OfferUnusable("the recorder has no address now at which it can be reached")
        return self.sdp


@asynccontextmanager
async def open_answered(
    offer_sdp: str,
    ice: IceAccess,
    *,
    on_packet: Callable[[str, OpusPacket], None],
    on_state: Callable[[str], None] = lambda state: None,
) -> AsyncIterator[Answered]:
    """Answer an offer and receive for the block; the connection is closed at its end.

    Args:
        offer_sdp: the offer with all its candidates in it; any number of audio lines up to 32, one of which sends;
            video is answered inactive.
        ice: STUN and TURN servers of ours.
        on_packet: takes the MID of an audio line and a packet of it, on the event loop; it must not wait.
        on_state: told of "connecting", "connected" and then "closed" or "failed".

    Raises:
        OfferUnusable: the offer cannot be answered.
    """
    aiortc_private.install()
    connection = make_connection(ice)
    answered = Answered(connection)
    answered.follow(connection, on_state)
    connection.on("track", lambda track: tap_track(connection, track, on_packet))
    try:
        await answered.answer(offer_sdp)
        yield answered
    finally:
        await close_connection(connection)


def usable_lines(offer_sdp: str) -> Sequence[AudioLine]:
    """Return the audio lines of an offer.

    Raises:
        OfferUnusable: it is none that could be answered, as far as its form goes.
    """
    if fault := fault_of(offer_sdp):
        raise OfferUnusable(fault)
    return audio_lines(offer_sdp)
