"""A WHEP server that gives out what its speakers say; it can refuse, and lose its media."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from examples.callers.player import Player, PlayerTrack
from gateway.listener import open_http

SDP = "application/sdp"


class WhepServer:
    """One stream at `url`.

    Args:
        streams: identifier of the media stream (msid) and what is played on it, per track.
    """

    def __init__(self, streams: Sequence[tuple[str, Player]]) -> None:
        self.url = ""
        self.refuses = 0
        """Status of every answer; 0 to answer properly."""
        self.authorizations: list[str] = []
        self.posts = 0
        self.deleted: list[str] = []
        self.connections: dict[str, RTCPeerConnection] = {}
        self._streams = streams

    async def lose_media(self) -> None:
        """Close every connection."""
        for connection in self.connections.values():
            await connection.close()

    async def post(self, request: Request) -> Response:
        """Answer a subscription."""
        self.posts += 1
        self.authorizations.append(request.headers.get("authorization", ""))
        if self.refuses:
            return Response(status_code=self.refuses)
        assert request.headers["content-type"] == SDP
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        await connection.setRemoteDescription(RTCSessionDescription((await request.body()).decode(), "offer"))
        for transceiver, (stream, player) in zip(connection.getTransceivers(), self._streams, strict=False):
            transceiver.sender.replaceTrack(PlayerTrack(player))
            transceiver.sender._stream_id = stream
            transceiver.direction = "sendonly"
        await connection.setLocalDescription(await connection.createAnswer())
        made = f"/subscriptions/{len(self.connections)}"
        self.connections[made] = connection
        return Response(connection.localDescription.sdp, 201, {"location": made}, SDP)

    async def delete(self, request: Request) -> Response:
        """End a subscription."""
        self.deleted.append(request.url.path)
        await self.connections[request.url.path].close()
        return Response()


@asynccontextmanager
async def running_whep(streams: Sequence[tuple[str, Player]]) -> AsyncIterator[WhepServer]:
    """Serve for the block."""
    server = WhepServer(streams)
    app = Starlette(
        routes=[
            Route("/whep/talk", server.post, methods=["POST"]),
            Route("/subscriptions/{number}", server.delete, methods=["DELETE"]),
        ]
    )
    async with open_http("127.0.0.1:0", app, grace_seconds=1) as http:
        server.url = f"{http.url}/whep/talk"
        try:
            yield server
        finally:
            await server.lose_media()
