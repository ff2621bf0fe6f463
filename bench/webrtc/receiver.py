"""`python -m bench.webrtc.receiver ours|stock`: the process under measurement.

Ours is the connector from the offer to the spans of a track, everything but the sending on. Stock is aiortc as it is
used everywhere: `track.recv()` and a resampler to 16 kHz mono.

Requests: `answer` {number, call, sdp, keep}, `connected`, `frames`, `figures`, `heard` {number, pcm}, `close` {number}.
"""

import asyncio
import gc
import os
import stat
import sys
import time
from base64 import b64encode
from pathlib import Path
from typing import Any, Protocol

import aioice.ice
import av
import uvloop
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from bench.webrtc.pipe import Message, serve
from kit.telemetry import logs
from services.connector.clock import SessionClock
from services.connector.provider import Basis, Patience
from services.connector.receive.receiver import OpusPacket
from services.connector.receive.voices import Voices
from services.connector.spans import Kind, Reason
from services.connector.webrtc import aiortc_private, peer
from services.connector.webrtc.ice import IceAccess

_CONNECT_SECONDS = 100.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Heard:
    """What came of one voice: how many frames and, if it is kept, when each was ready and what it holds."""

    def __init__(self, keep: bool) -> None:
        self.keep = keep
        self.frames = 0
        self.at: list[tuple[int, float]] = []
        """RTP timestamp, or the frame's own; and the monotonic time at which its samples were there."""
        self.pcm = bytearray()
        self.timestamp = 0
        self.connected = False

    def add(self, start_sample: int, pcm: bytes) -> None:
        """Take samples at their place."""
        self.frames += 1
        if not self.keep:
            return
        self.at.append((self.timestamp, time.monotonic()))
        place = 2 * start_sample
        if len(self.pcm) < place:
            self.pcm += bytes(place - len(self.pcm))
        self.pcm[place : place + len(pcm)] = pcm


class Ear(Protocol):
    """One way to receive."""

    heard: dict[int, Heard]

    async def answer(self, number: int, call: int, sdp: str, *, keep: bool) -> str:
        """Answer an offer."""

    async def close(self, number: int) -> None:
        """Forget one voice and its connection."""


class OurEar:
    """Calls as the connector holds them: a peer link and a voice for each person, a tick for each call."""

    def __init__(self) -> None:
        aiortc_private.install()
        peer.CONNECT_SECONDS = _CONNECT_SECONDS  # nobody here offers twice, and the machine may be busy
        self.heard: dict[int, Heard] = {}
        self._links: dict[int, tuple[int, asyncio.Task[None]]] = {}
        self._calls: dict[int, tuple[Voices, asyncio.Task[None], set[int]]] = {}

    async def answer(self, number: int, call: int, sdp: str, *, keep: bool) -> str:
        """Answer an offer."""
        heard = self.heard[number] = Heard(keep)
        voices, _, people = self._call(call)
        people.add(number)
        voices.admit(str(number), f"voice {number}")
        answers: asyncio.Queue[str] = asyncio.Queue(8)

        async def signal(data: dict[str, Any]) -> None:
            if "description" in data:
                answers.put_nowait(data["description"]["sdp"])

        def on_packet(packet: OpusPacket) -> None:
            heard.timestamp = packet.timestamp
            voices.receive(str(number), packet)

        def on_connected() -> None:
            heard.connected = True

        link = peer.PeerLink(
            IceAccess(), signal=signal, on_packet=on_packet, on_connected=on_connected, on_publishing=lambda _: None
        )
        self._links[number] = call, asyncio.create_task(link.run(), name=f"bench.link.{number}")
        link.deliver({"description": {"type": "offer", "sdp": sdp}})
        async with asyncio.timeout(_CONNECT_SECONDS):
            return await answers.get()

    async def close(self, number: int) -> None:
        """Forget one voice; a call ends with its last one."""
        call, link = self._links.pop(number)
        link.cancel()
        await asyncio.gather(link, return_exceptions=True)
        voices, tick, people = self._calls[call]
        voices.dismiss(str(number))
        people.discard(number)
        if not people:
            del self._calls[call]
            voices.finish()
            tick.cancel()
            await asyncio.gather(tick, return_exceptions=True)
        del self.heard[number]

    def _call(self, call: int) -> tuple[Voices, asyncio.Task[None], set[int]]:
        if call not in self._calls:
            voices = Voices(SessionClock(), _Tracks(self.heard), _Silent(), Patience(empty_room=1e9))
            voices.enter()
            tick = asyncio.create_task(voices.tick(), name=f"bench.call.{call}.tick")
            self._calls[call] = voices, tick, set()
        return self._calls[call]


class StockEar:
    """Aiortc's own jitter buffer, decoder thread and track."""

    def __init__(self) -> None:
        if not aioice.ice.get_host_addresses(True, True):
            aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
        self.heard: dict[int, Heard] = {}
        self._connections: dict[int, tuple[RTCPeerConnection, asyncio.Task[None]]] = {}

    async def answer(self, number: int, call: int, sdp: str, *, keep: bool) -> str:
        """Answer an offer."""
        heard = self.heard[number] = Heard(keep)
        connection = RTCPeerConnection()
        tracks: asyncio.Queue[Any] = asyncio.Queue(8)
        connection.on("track", tracks.put_nowait)

        def changed() -> None:
            heard.connected = connection.connectionState == "connected"

        connection.on("connectionstatechange", changed)
        await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        reading = asyncio.create_task(self._read(heard, tracks.get_nowait()), name=f"bench.stock.{number}")
        self._connections[number] = connection, reading
        await connection.setLocalDescription(await connection.createAnswer())
        return connection.localDescription.sdp

    async def close(self, number: int) -> None:
        """Forget one voice."""
        connection, reading = self._connections.pop(number)
        await connection.close()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        del self.heard[number]

    @staticmethod
    async def _read(heard: Heard, track: Any) -> None:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            place = frame.pts // 3
            heard.timestamp = frame.pts
            frame.pts = None
            pcm = b"".join(bytes(each.planes[0])[: 2 * each.samples] for each in resampler.resample(frame))
            heard.add(place, pcm)


class _Tracks:
    """A `TrackWriter` that hands samples to whoever's they are."""

    def __init__(self, heard: dict[int, Heard]) -> None:
        self._heard = heard
        self._tracks: list[int] = []

    def start_track(self, participant_id: str, display_name: str, basis: Basis, start_sample: int) -> int:
        """Introduce a voice."""
        self._tracks.append(int(participant_id))
        return len(self._tracks) - 1

    def audio(self, track: int, start_sample: int, pcm: bytes, kind: Kind) -> None:
        """Take samples."""
        heard = self._heard.get(self._tracks[track])
        if heard is not None and kind is not Kind.FILL:
            heard.add(start_sample, pcm)

    def gap(self, track: int, start_sample: int, end_sample: int, reason: Reason) -> None:
        """Take a span without samples."""

    def end_track(self, track: int, end_sample: int) -> None:
        """Nothing more will come."""


class _Silent:
    """A `SourceListener` that nobody asks."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


class Receiver:
    """Answers the bench's requests with one way to receive."""

    def __init__(self, ear: Ear) -> None:
        self.ear = ear

    async def answer(self, request: Message) -> Message:
        """Answer an offer."""
        return {"sdp": await self.ear.answer(**request)}

    async def connected(self, request: Message) -> Message:
        """Wait until everybody is connected."""
        async with asyncio.timeout(_CONNECT_SECONDS):
            while not all(heard.connected for heard in self.ear.heard.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return {}

    async def figures(self, request: Message) -> Message:
        """Return what the process holds now, once everything that ended is gone."""
        gc.collect()
        await asyncio.sleep(0.2)
        gc.collect()
        return {
            "rss_mb": int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE / 1e6,
            "tasks": len(asyncio.all_tasks()),
            "sockets": sum(_is_socket(int(each.name)) for each in Path("/proc/self/fd").iterdir()),
            "threads": len(list(Path("/proc/self/task").iterdir())),
            "connections": sum(type(each) is RTCPeerConnection for each in gc.get_objects()),
            "frames": sum(heard.frames for heard in self.ear.heard.values()),
        }

    async def frames(self, request: Message) -> Message:
        """Return how many frames have come, in all and of each voice, and the processor time so far, all threads."""
        each = [heard.frames for heard in self.ear.heard.values()]
        return {"frames": sum(each), "each": each, "cpu_seconds": time.process_time()}

    async def heard(self, request: Message) -> Message:
        """Return one voice: the times, and the samples if `pcm` is true."""
        heard = self.ear.heard[request["number"]]
        return {"at": heard.at, "pcm": b64encode(bytes(heard.pcm)).decode() if request.get("pcm") else ""}

    async def close(self, request: Message) -> Message:
        """Forget one voice and its connection."""
        await self.ear.close(request["number"])
        return {}


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:  # the one that listed the folder
        return False


async def main() -> None:
    """Serve the pipe."""
    logs.configure("bench", "error", stream=sys.stderr)  # standard output is the pipe
    receiver = Receiver(OurEar() if sys.argv[1] == "ours" else StockEar())
    names = ("answer", "connected", "figures", "frames", "heard", "close")
    await serve({name: getattr(receiver, name) for name in names})


if __name__ == "__main__":
    uvloop.run(main())
