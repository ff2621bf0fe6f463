"""A publisher that speaks WHIP: one offer over HTTP, with all its candidates, and DELETE at the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from examples.callers.player import Player, PlayerTrack
from examples.callers.speech import Speech

SDP = "application/sdp"


@dataclass
class Publication:
    """What was published; `player.start()` lets it speak."""

    player: Player
    connection: RTCPeerConnection
    response: httpx2.Response

    @property
    def location(self) -> str:
        """Where DELETE ends it."""
        return str(self.response.headers["location"])


async def offer_of(connection: RTCPeerConnection, player: Player) -> str:
    """Return an offer that sends the player's voice."""
    connection.addTransceiver(PlayerTrack(player), direction="sendonly")
    await connection.setLocalDescription(await connection.createOffer())
    return str(connection.localDescription.sdp)


@asynccontextmanager
async def open_publication(http: httpx2.AsyncClient, url: str, speech: Speech) -> AsyncIterator[Publication]:
    """Publish for the block; at its end the connection closes without a word."""
    player = Player(speech)
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
    try:
        offer = await offer_of(connection, player)
        response = await http.post(url, content=offer, headers={"content-type": SDP})
        assert response.status_code == 201, response.text
        await connection.setRemoteDescription(RTCSessionDescription(response.text, "answer"))
        yield Publication(player, connection, response)
    finally:
        await connection.close()
