"""A player: one speaker's packets, paced in real time, handed to every connection at once."""

import asyncio
import time
from fractions import Fraction
from typing import Any

from aiortc import MediaStreamTrack
from av.packet import Packet

from examples.callers.speech import FRAME_SECONDS, Speech

_RTP_PER_FRAME = 960
_TIME_BASE = Fraction(1, 48_000)
_COMFORT_FRAMES = 20  # DTX: a sign of life every 400 ms

_CATCH_UP_FRAMES = 100  # a process that was held up for longer skips


class Player:
    """Plays speech from the frame after `start`; before it, after it and while muted there is silence.

    Args:
        speech: what to play.
    """

    def __init__(self, speech: Speech) -> None:
        self.muted = False
        self.started_at: float | None = None
        """Wall clock when the first frame of speech was due, in seconds since 1970."""
        self.started = asyncio.Event()
        self.finished = asyncio.Event()
        self._speech = speech
        self._origin = asyncio.get_running_loop().time()
        self._first: int | None = None

    def start(self) -> None:
        """Begin to speak with the next frame."""
        if self._first is None:
            loop = asyncio.get_running_loop()
            self._first = self.frame_now() + 1
            until_due = self._origin + self._first * FRAME_SECONDS - loop.time()
            self.started_at = time.time() + until_due
            self.started.set()
            loop.call_later(until_due + self._speech.seconds, self.finished.set)

    def frame_now(self) -> int:
        """Return the number of the frame that is due now."""
        return int((asyncio.get_running_loop().time() - self._origin) / FRAME_SECONDS)

    async def packet(self, after: int) -> tuple[int, bytes]:
        """Wait for the next packet after frame `after`; returns its frame and the packet."""
        loop = asyncio.get_running_loop()
        frame = max(after + 1, self.frame_now() - _CATCH_UP_FRAMES)
        while True:
            wait = self._origin + frame * FRAME_SECONDS - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            packet = self._packet_at(frame)
            if packet is not None:
                return frame, packet
            frame += 1

    def _packet_at(self, frame: int) -> bytes | None:
        index = frame - self._first if self._first is not None else -1
        if not self.muted and 0 <= index < len(self._speech.packets):
            packet = self._speech.packets[index]
            if packet is not None:
                return packet
        return self._speech.silence if frame % _COMFORT_FRAMES == 0 else None


class PlayerTrack(MediaStreamTrack):
    """The player, as a track of one connection. Packets are encoded already, so a connection costs next to nothing."""

    kind = "audio"

    def __init__(self, player: Player) -> None:
        super().__init__()
        self._player = player
        self._frame: int | None = None

    async def recv(self) -> "Packet[Any]":
        """Return the next packet when it is due."""
        after = self._player.frame_now() if self._frame is None else self._frame
        self._frame, payload = await self._player.packet(after)
        packet = Packet(payload)
        packet.pts = self._frame * _RTP_PER_FRAME
        packet.time_base = _TIME_BASE
        return packet
