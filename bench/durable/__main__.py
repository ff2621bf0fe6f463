"""`python -m bench.durable`: measure journalled streams, in turns with what they are compared to."""

import argparse
import asyncio
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from bench.durable import client
from bench.durable.servers import KEY, Server, running, running_ingest
from bench.postgres import serving_postgres
from bench.result import DIRECTORY, Ratio, Result, percentile
from kit.telemetry import logs

WARM_SECONDS = 2.0
FRAMES_MS = (100, 20)


@dataclass(frozen=True, slots=True)
class Variant:
    """One server, and how the client speaks to it."""

    server: Server
    open_call: client.Open
    number_of: Callable[[Any], int]
    meetings: bool = True
    """Whether meetings have to be made."""


async def measure_one(variant: Variant, load: client.Load) -> dict[str, float]:
    """Hold the streams once; returns figures."""
    server = variant.server
    if variant.meetings:
        meetings = await client.start_meetings(server.address, KEY, load.streams)
    else:
        meetings = client.meeting_names(load.streams)
    heard, cpu, wall = await client.speak(
        server.address, KEY, meetings, variant.open_call, variant.number_of, load, WARM_SECONDS,
        lambda: server.cpu_seconds,
    )  # fmt: skip
    rate = load.streams * load.messages_per_second
    return {
        "streams_per_core": load.streams / (cpu / wall),
        "cpu_per_message_us": 1e6 * cpu / (wall * rate),
        "ack_p50_ms": 1_000 * percentile(heard.seconds, 0.5),
        "ack_p99_ms": 1_000 * percentile(heard.seconds, 0.99),
        "ack_mean_ms": 1_000 * sum(heard.seconds) / len(heard.seconds),
        "messages_per_s": heard.messages / load.seconds,
        "pcm_bytes_per_s": heard.messages * load.samples * 2 / load.seconds,
        "late_share": heard.late / max(1, heard.messages),
    }


async def measure(variants: dict[str, Variant], rounds: int, loads: list[client.Load]) -> Result:
    """Measure every variant under every load, round after round."""
    settings = {
        "rounds": rounds, "warm_seconds": WARM_SECONDS, "window_seconds": loads[0].seconds,
        "streams": {f"{load.frame_ms}ms": load.streams for load in loads},
    }  # fmt: skip
    result = Result("durable", settings)
    for number in range(rounds):
        figures: dict[str, dict[str, float]] = {}
        names = list(variants)
        for load in loads:
            for name in names[number % len(names) :] + names[: number % len(names)]:
                figures[f"{name}_{load.frame_ms}ms"] = await measure_one(variants[name], load)
                await asyncio.sleep(0.5)  # what the last one left behind
        result.rounds.append(figures)
    return result


def ratios(result: Result) -> dict[str, Ratio]:
    """Return what the figures say."""
    found: dict[str, Ratio] = {}
    for frame in FRAMES_MS:
        ours, journal, unsynced, echo = (f"{name}_{frame}ms" for name in ("ingest", "journal_only", "unsynced", "echo"))
        of = f"messages of {frame} ms"
        found |= {
            f"streams_per_core_vs_echo_{frame}ms": result.ratio(
                (ours, "streams_per_core"), (echo, "streams_per_core"),
                f"live streams that one core of the ingest room carries over those of a bare echo, {of}",
            ),
            f"cpu_per_message_vs_echo_{frame}ms": result.ratio(
                (ours, "cpu_per_message_us"), (echo, "cpu_per_message_us"),
                f"processor time per message, with its way to the recogniser, over a bare echo's, {of}",
            ),
            f"cpu_per_message_without_recogniser_vs_echo_{frame}ms": result.ratio(
                (journal, "cpu_per_message_us"), (echo, "cpu_per_message_us"),
                f"the same while no recogniser is there: the door and the journal alone, {of}",
            ),
            f"cpu_per_message_vs_unsynced_{frame}ms": result.ratio(
                (ours, "cpu_per_message_us"), (unsynced, "cpu_per_message_us"),
                f"processor time per message over that of a room that never syncs, {of}",
            ),
            f"ack_p50_vs_unsynced_{frame}ms": result.ratio(
                (ours, "ack_p50_ms"), (unsynced, "ack_p50_ms"),
                f"median time to the acknowledgement over that of a room that never syncs, {of}",
            ),
            f"ack_p99_vs_unsynced_{frame}ms": result.ratio(
                (ours, "ack_p99_ms"), (unsynced, "ack_p99_ms"), f"the same, worst of 100, {of}"
            ),
            f"ack_p50_vs_echo_{frame}ms": result.ratio(
                (ours, "ack_p50_ms"), (echo, "ack_p50_ms"),
                f"median time to the acknowledgement over the echo's; the room syncs every 200 ms at most, {of}",
            ),
            f"ack_p99_vs_echo_{frame}ms": result.ratio(
                (ours, "ack_p99_ms"), (echo, "ack_p99_ms"), f"the same, worst of 100, {of}"
            ),
        }  # fmt: skip
    return found


def main() -> None:
    """Measure, write, show."""
    parser = argparse.ArgumentParser(prog="python -m bench.durable", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of one measurement")
    parser.add_argument("--streams", type=int, default=40, help="of 100 ms messages; a quarter of it with 20 ms")
    options = parser.parse_args()
    logs.configure("bench", "error")
    loads = [
        client.Load(max(1, options.streams // (1 if frame == 100 else 4)), frame, options.seconds)
        for frame in FRAMES_MS
    ]
    work = DIRECTORY / "durable"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with ExitStack() as stack:
        url = stack.enter_context(serving_postgres())
        sink = stack.enter_context(running("bench.durable.sink", {}, work / "sink.log"))
        echo = stack.enter_context(running("bench.durable.echo", {}, work / "echo.log"))
        rooms = {
            name: stack.enter_context(running_ingest(module, url, work.absolute() / name, stt))
            for name, module, stt in (
                ("ingest", "services.ingest", sink.address),
                ("journal_only", "services.ingest", "127.0.0.1:9"),
                ("unsynced", "bench.durable.unsynced", sink.address),
            )
        }
        variants = {name: Variant(room, client.open_audio, client.durable) for name, room in rooms.items()}
        variants["echo"] = Variant(echo, client.open_echo, client.echoed, meetings=False)
        result = asyncio.run(measure(variants, options.rounds, loads))
    found = ratios(result)
    result.show(found)
    print(f"written: {result.write(found)}")
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
