"""Whole calls: what joining and leaving leaves behind, and what a call of four people costs."""

import asyncio

from bench.webrtc.call import open_pair

PEOPLE = 4
_SPOKEN_SECONDS = 0.3
_WARM_SECONDS = 2.0
_LOOP_SECONDS = 60.0


async def cycles(mode: str, warm: int, total: int) -> dict[str, float]:
    """Join and leave `total` times; returns what was there after `warm` times, and how much more after all."""
    async with open_pair(mode) as pair:
        before: dict[str, float] = {}
        for cycle in range(total):
            await pair.dial(cycle, call=cycle, seconds=2.0, pauses=False, voice=0)
            await pair.sender.ask("play")
            heard = await pair.frames()
            await asyncio.sleep(_SPOKEN_SECONDS)
            assert await pair.frames() > heard, "nothing was heard"
            await pair.hang_up(cycle)
            if cycle + 1 == warm:
                before = await pair.receiver.ask("figures")
        after = await pair.receiver.ask("figures")
    names = ("rss_mb", "tasks", "sockets", "threads", "connections")
    return {f"{name}_after_{warm}": float(before[name]) for name in names} | {
        f"{name}_grown": float(after[name] - before[name]) for name in names
    }


async def costs(mode: str, counts: tuple[int, ...], seconds: float) -> dict[str, dict[str, float]]:
    """Hold so many calls of four people at once, in one process; returns memory and processor time per call.

    The people speak in turns, as in the sample interview, and are silent by DTX in between.
    """
    found: dict[str, dict[str, float]] = {}
    async with open_pair(mode) as pair:
        # One call comes and goes first: what the process loads once belongs to nobody.
        await pair.dial(-1, call=-1, seconds=_LOOP_SECONDS, pauses=True, voice=0)
        await pair.hang_up(-1)
        empty = await pair.receiver.ask("figures")
        people = 0
        for count in counts:
            for person in range(people, count * PEOPLE):
                await pair.dial(
                    person,
                    call=person // PEOPLE,
                    seconds=_LOOP_SECONDS,
                    pauses=True,
                    voice=person % PEOPLE,
                    repeat=True,
                )
            people = count * PEOPLE
            await pair.sender.ask("play")
            await asyncio.sleep(_WARM_SECONDS)
            spent = await pair.spend(seconds)
            figures = await pair.receiver.ask("figures")
            found[f"{count}_calls"] = {
                "memory_per_call_mb": (figures["rss_mb"] - empty["rss_mb"]) / count,
                "core_share_per_call_percent": 100 * spent.cpu_seconds / spent.wall_seconds / count,
                "cpu_per_packet_us": 1e6 * spent.cpu_seconds / spent.frames,
                "process_mb": figures["rss_mb"],
                "people_heard_share": spent.voices / people,
                "packets_per_s": spent.frames / spent.wall_seconds,
            }
    return found
