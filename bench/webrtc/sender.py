"""`python -m bench.webrtc.sender`: people who call, one aiortc connection each; their packets were encoded before.

Requests: `offer` {number, voice, seconds, pauses, repeat}, `accept` {number, sdp}, `connected` {number}, `play`,
`sent` {number}, `close` {number}.
"""

import asyncio
import time
from fractions import Fraction
from functools import cache
from typing import Any

import uvloop
from aiortc import MediaStreamTrack, RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from av.packet import Packet

from bench.webrtc.pipe import Message, serve
from bench.webrtc.voice import packets
from services.connector.webrtc import aiortc_private

_RTP_PER_FRAME = 960
_FRAME_SECONDS = 0.02
_TIME_BASE = Fraction(1, 48_000)
_CONNECT_SECONDS = 100.0

_packets = cache(packets)


class Paced(MediaStreamTrack):
    """Packets at their times, from the moment they may; notes when each was handed to the connection."""

    kind = "audio"

    def __init__(self, frames: list[bytes | None], phase_seconds: float, *, repeat: bool) -> None:
        super().__init__()
        self.sent: dict[int, float] = {}
        """Monotonic time at which each frame was sent."""
        self._frames = frames
        self._repeat = repeat
        self._phase = phase_seconds
        self._origin: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._next = 0

    def play(self) -> None:
        """Begin now."""
        if not self._origin.done():
            self._origin.set_result(asyncio.get_running_loop().time() + self._phase)

    async def recv(self) -> "Packet[Any]":
        """Return the next packet when it is due; after the last one nothing comes, or all again."""
        origin = await self._origin
        while (payload := self._frames[self._next % len(self._frames)]) is None:
            self._next += 1
        if self._next >= len(self._frames) and not self._repeat:
            await asyncio.get_running_loop().create_future()
        number, self._next = self._next, self._next + 1
        await asyncio.sleep(origin + number * _FRAME_SECONDS - asyncio.get_running_loop().time())
        packet = Packet(payload)
        packet.pts, packet.time_base = number * _RTP_PER_FRAME, _TIME_BASE
        self.sent[number] = time.monotonic()
        return packet


class Callers:
    """The connections, by number."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[RTCPeerConnection, Paced]] = {}

    async def offer(self, request: Message) -> Message:
        """Make a connection that offers one voice."""
        number = request["number"]
        # In a thread: a sender that is busy for long would be taken for dead.
        frames = await asyncio.to_thread(_packets, request["voice"], request["seconds"], pauses=request["pauses"])
        track = Paced(frames, (number * 7 % 20) / 1000, repeat=request["repeat"])
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        connection.addTransceiver(track, direction="sendonly")
        self._calls[number] = connection, track
        await connection.setLocalDescription(await connection.createOffer())
        return {"sdp": connection.localDescription.sdp}

    async def accept(self, request: Message) -> Message:
        """Take the answer."""
        await self._calls[request["number"]][0].setRemoteDescription(RTCSessionDescription(request["sdp"], "answer"))
        return {}

    async def connected(self, request: Message) -> Message:
        """Wait for one connection."""
        connection = self._calls[request["number"]][0]
        async with asyncio.timeout(_CONNECT_SECONDS):
            while connection.connectionState != "connected":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return {}

    async def play(self, request: Message) -> Message:
        """Begin to speak, everybody who does not yet."""
        for _, track in self._calls.values():
            track.play()
        return {}

    async def sent(self, request: Message) -> Message:
        """Return when each frame of one voice was sent."""
        return {"at": {str(frame): at for frame, at in self._calls[request["number"]][1].sent.items()}}

    async def close(self, request: Message) -> Message:
        """Hang up."""
        connection, _ = self._calls.pop(request["number"])
        await connection.close()
        return {}


async def main() -> None:
    """Serve the pipe."""
    aiortc_private.install()
    callers = Callers()
    await serve({name: getattr(callers, name) for name in ("offer", "accept", "connected", "play", "sent", "close")})


if __name__ == "__main__":
    uvloop.run(main())
