"""What a track costs, and how long its samples take: ours, stock aiortc, and libopus by itself on the same packets."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from time import process_time

from bench.result import percentile
from bench.webrtc.call import open_pair
from bench.webrtc.voice import packets
from services.connector.receive.opus import OpusDecoder

WARM_SECONDS = 2.0
_PACKETS_PER_SECOND = 50
_RTP_PER_FRAME = 960
_EDGE_FRAMES = 50


async def costs(modes: Sequence[str], tracks: int, seconds: float) -> dict[str, dict[str, float]]:
    """Hold `tracks` people who speak without a break, in calls of four; returns the cost of one track.

    Every way to receive has its own processes and all run at once, so that what the machine is busy with meets all.
    """
    async with AsyncExitStack() as stack:
        pairs = {mode: await stack.enter_async_context(open_pair(mode)) for mode in modes}
        for pair in pairs.values():
            for number in range(tracks):
                await pair.dial(number, call=number // 4, seconds=seconds + WARM_SECONDS + 10, pauses=False)
        for pair in pairs.values():
            await pair.sender.ask("play")
        await asyncio.sleep(WARM_SECONDS)
        spent = await asyncio.gather(*(pair.spend(seconds) for pair in pairs.values()))
    return {
        mode: {
            "tracks_per_core": tracks / (each.cpu_seconds / each.wall_seconds),
            "cpu_per_packet_us": 1e6 * each.cpu_seconds / each.frames,
            "heard_share": each.frames / (tracks * _PACKETS_PER_SECOND * each.wall_seconds),
        }
        for mode, each in zip(modes, spent, strict=True)
    }


async def delay(mode: str, seconds: float) -> dict[str, float]:
    """Let one person speak; returns the time from sending a packet to its samples, loopback included."""
    async with open_pair(mode) as pair:
        await pair.dial(0, call=0, seconds=seconds, pauses=False, keep=True)
        await pair.sender.ask("play")
        await asyncio.sleep(seconds + 1.0)
        sent = {int(frame): at for frame, at in (await pair.sender.ask("sent", number=0))["at"].items()}
        heard = (await pair.receiver.ask("heard", number=0))["at"]
    first = heard[0][0]
    delays = []
    for timestamp, at in heard:
        frame = ((timestamp - first) & 0xFFFFFFFF) // _RTP_PER_FRAME
        if frame >= _EDGE_FRAMES and frame in sent:
            delays.append(1000 * (at - sent[frame]))
    return {"delay_p50_ms": percentile(delays, 0.5), "delay_p99_ms": percentile(delays, 0.99)}


def bare(seconds: float) -> dict[str, float]:
    """Decode the same packets in a loop: the floor."""
    frames = [packet for packet in packets(0, seconds, pauses=False) if packet]
    decoder = OpusDecoder()
    spent = process_time()
    for packet in frames:
        decoder.decode(packet)
    spent = process_time() - spent
    return {
        "tracks_per_core": len(frames) / _PACKETS_PER_SECOND / spent,
        "cpu_per_packet_us": 1e6 * spent / len(frames),
    }
