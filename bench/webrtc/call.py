"""A sender and a receiver as processes, and people in calls between them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

from bench.webrtc.network import Network
from bench.webrtc.pipe import Child, running


@dataclass(slots=True)
class Pair:
    """A receiver under measurement and the process that calls it."""

    sender: Child
    receiver: Child
    network: Network | None = None

    async def dial(
        self,
        number: int,
        *,
        call: int,
        seconds: float,
        pauses: bool,
        voice: int | None = None,
        keep: bool = False,
        repeat: bool = False,
    ) -> None:
        """Connect person `number`, who is in call `call`; returns when media is connected."""
        said = {"voice": number % 4 if voice is None else voice, "seconds": seconds, "pauses": pauses, "repeat": repeat}
        offer = (await self.sender.ask("offer", number=number, **said))["sdp"]
        offer = await self.network.offer(offer) if self.network else offer
        answer = (await self.receiver.ask("answer", number=number, call=call, sdp=offer, keep=keep))["sdp"]
        answer = await self.network.answer(offer, answer) if self.network else answer
        await self.sender.ask("accept", number=number, sdp=answer)
        await self.sender.ask("connected", number=number)
        await self.receiver.ask("connected")

    async def hang_up(self, number: int) -> None:
        """End one person's connection at both ends, theirs first."""
        await self.sender.ask("close", number=number)
        await self.receiver.ask("close", number=number)

    async def frames(self) -> int:
        """Return how many frames the receiver has heard."""
        return int((await self.receiver.ask("frames"))["frames"])

    async def spend(self, seconds: float) -> "Spent":
        """Let time pass; returns what the receiver did with it."""
        before, began = await self.receiver.ask("frames"), monotonic()
        await asyncio.sleep(seconds)
        after, ended = await self.receiver.ask("frames"), monotonic()
        return Spent(
            after["cpu_seconds"] - before["cpu_seconds"],
            after["frames"] - before["frames"],
            ended - began,
            sum(now > then for then, now in zip(before["each"], after["each"], strict=True)),
        )


@dataclass(frozen=True, slots=True)
class Spent:
    """A stretch of a receiver's life."""

    cpu_seconds: float
    frames: int
    wall_seconds: float
    voices: int
    """How many voices were heard at all."""


@asynccontextmanager
async def open_pair(mode: str, network: Network | None = None) -> AsyncIterator[Pair]:
    """Run a receiver ("ours" or "stock") and a sender for the block."""
    receiver, sender = (network.receiver, network.sender) if network else ((), ())
    async with (
        running("bench.webrtc.receiver", mode, prefix=receiver) as ear,
        running("bench.webrtc.sender", prefix=sender) as mouth,
    ):
        yield Pair(mouth, ear, network)
