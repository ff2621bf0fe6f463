"""`python -m bench.webrtc`: measure the receive path, in turns with what it is compared to."""

import argparse
import asyncio
import os
from dataclasses import dataclass

from bench.result import Ratio, Result
from bench.webrtc import calls, capacity, loss
from bench.webrtc.network import Network, lossy_network

PARTS = ("capacity", "loss", "cycles", "calls")
LOSSES = (0.0, 0.01, 0.05, 0.2)
CALLS = (1, 10, 50)

Figures = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    parts: tuple[str, ...]
    rounds: int
    tracks: int
    window_seconds: float
    delay_seconds: float
    loss_seconds: float
    voices: int
    warm_cycles: int
    cycles: int
    calls_seconds: float


async def measure_capacity(plan: Plan, number: int) -> Figures:
    """Measure ours, stock and the bare decoder once."""
    modes = ("ours", "stock") if number % 2 == 0 else ("stock", "ours")
    figures: Figures = await capacity.costs(modes, plan.tracks, plan.window_seconds)
    figures["libopus"] = await asyncio.to_thread(capacity.bare, plan.window_seconds * 5)
    for mode in modes:
        figures[mode] |= await capacity.delay(mode, plan.delay_seconds)
    return figures


async def measure_loss(plan: Plan, network: Network) -> Figures:
    """Measure what is heard at every loss."""
    figures: Figures = {}
    for share in LOSSES:
        for mode, heard in (await loss.hear(network, share, plan.loss_seconds, plan.voices)).items():
            figures[f"{mode}_at_{100 * share:.0f}_percent_loss"] = heard
            print(f"  {mode} at {100 * share:.0f} % loss: correlation {heard['correlation']:.3f}")
    return figures


async def measure(plan: Plan) -> Result:
    """Measure everything that is asked for, round after round; what has no peer only in the first."""
    settings = {name: getattr(plan, name) for name in plan.__slots__} | {"parts": list(plan.parts)}
    result = Result("webrtc", settings)
    once: Figures = {}
    if "cycles" in plan.parts:
        for mode in ("ours", "stock"):
            once[f"{mode}_cycles"] = await calls.cycles(mode, plan.warm_cycles, plan.cycles)
    if "calls" in plan.parts:
        for mode in ("ours", "stock"):
            costs = await calls.costs(mode, CALLS, plan.calls_seconds)
            once |= {f"{mode}_{name}": figures for name, figures in costs.items()}
    async with lossy_network() as network:
        if "loss" in plan.parts:
            settings["network"] = network.kind
            print(f"packets are lost by {network.kind}")
        for number in range(plan.rounds):
            figures = dict(once)
            if "capacity" in plan.parts:
                figures |= await measure_capacity(plan, number)
            if "loss" in plan.parts:
                figures |= await measure_loss(plan, network)
            result.rounds.append(figures)
    return result


def ratios(result: Result, plan: Plan) -> dict[str, Ratio]:
    """Return what the figures say."""
    found: dict[str, Ratio] = {}
    if "capacity" in plan.parts:
        found |= {
            "tracks_per_core_vs_stock": result.ratio(
                ("ours", "tracks_per_core"), ("stock", "tracks_per_core"),
                "tracks of uninterrupted speech that one core receives, over aiortc's own receive path; 2 is the goal",
            ),
            "tracks_per_core_vs_libopus": result.ratio(
                ("ours", "tracks_per_core"), ("libopus", "tracks_per_core"),
                "the same over libopus decoding the same packets in a loop, without network and encryption",
            ),
            "delay_p50_vs_stock": result.ratio(
                ("ours", "delay_p50_ms"), ("stock", "delay_p50_ms"),
                "median time from sending a packet to its samples over that of stock; ours must stay below 5 ms",
            ),
        }  # fmt: skip
    if "loss" in plan.parts:
        for share in LOSSES:
            at = f"at_{100 * share:.0f}_percent_loss"
            found[f"correlation_vs_stock_{at}"] = result.ratio(
                (f"ours_{at}", "correlation"), (f"stock_{at}", "correlation"),
                f"likeness of what is heard to what was said, over stock's, {100 * share:.0f} % of the packets lost",
            )  # fmt: skip
    if "calls" in plan.parts:
        for count in CALLS:
            ours, stock = f"ours_{count}_calls", f"stock_{count}_calls"
            found[f"memory_per_call_vs_stock_{count}_calls"] = result.ratio(
                (ours, "memory_per_call_mb"), (stock, "memory_per_call_mb"),
                f"memory that a call of 4 people who speak in turns takes, over stock's; {count} at once",
            )  # fmt: skip
            # Ours and stock are measured one after the other, at other places of the conversation: so per packet.
            found[f"cpu_per_packet_vs_stock_{count}_calls"] = result.ratio(
                (ours, "cpu_per_packet_us"), (stock, "cpu_per_packet_us"),
                f"processor time of a packet in such calls, over stock's; {count} at once",
            )  # fmt: skip
    return found


def judge(result: Result, plan: Plan) -> list[str]:
    """Return how the goals were met, one line each."""
    figures = result.medians()
    lines: list[tuple[str, float, str, bool]] = []
    if "capacity" in plan.parts:
        ratio = ratios(result, plan)["tracks_per_core_vs_stock"].value
        lines.append(("tracks per core over stock", ratio, ">= 2", ratio >= 2))
        delay = figures["ours"]["delay_p50_ms"]
        lines.append(("delay p50, ms", delay, "<= 5", delay <= 5))
    if "loss" in plan.parts:
        for percent, least in ((5, 0.95), (20, 0.90)):
            value = figures[f"ours_at_{percent}_percent_loss"]["correlation"]
            lines.append((f"correlation at {percent} % loss", value, f">= {least}", value >= least))
    if "cycles" in plan.parts:
        grown = figures["ours_cycles"]
        left = sum(grown[f"{name}_grown"] for name in ("tasks", "sockets", "threads", "connections"))
        lines.append(("tasks, sockets, threads, connections left behind", left, "<= 0", left <= 0))
        lines.append(("memory grown, MB", grown["rss_mb_grown"], "<= 3", grown["rss_mb_grown"] <= 3))
    return [f"{'met   ' if met else 'MISSED'}  {name}: {value:.3g} ({goal})" for name, value, goal, met in lines]


def main() -> None:
    """Measure, write, show."""
    parser = argparse.ArgumentParser(prog="python -m bench.webrtc", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: minutes, and rough")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=PARTS, action="append", help="a part alone; repeatable")
    options = parser.parse_args()
    parts = tuple(options.only or PARTS)
    if options.quick:
        plan = Plan(parts, 1, 12, 5.0, 5.0, 16.0, 2, 10, 40, 5.0)
    else:
        plan = Plan(parts, options.rounds, 20, 10.0, 20.0, 40.0, 3, 50, 200, 20.0)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    result = asyncio.run(measure(plan))
    found = ratios(result, plan)
    result.show(found)
    print(*judge(result, plan), sep="\n")
    print(f"written: {result.write(found)}")


if __name__ == "__main__":
    main()
