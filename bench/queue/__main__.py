"""`python -m bench.queue`: measure the queue against its floor, in turns."""

import argparse
import asyncio
from time import process_time

from bench.postgres import serving_postgres
from bench.queue import floor, ours
from bench.result import Ratio, Result, percentile
from kit.db.engine import Database, open_database
from kit.db.tenancy import within
from kit.telemetry import logs

BATCH = 100
TASKS = 10
PER_SECOND = 40.0


async def measure_round(database: Database, url: str, number: int, scale: int, hot: int) -> dict[str, dict[str, float]]:
    """Measure everything once, what is compared side by side; returns figures by variant."""
    one, other = f"ours{number}", f"floor{number}"
    figures: dict[str, dict[str, float]] = {"queue": {}, "keyed": {}, "floor": {}}
    queue, keyed, bare = figures["queue"], figures["keyed"], figures["floor"]

    bare["enqueue_per_s"] = await floor.insert_each(url, other, scale)
    queue["enqueue_per_s"] = await ours.enqueue_each(database, one, scale, lambda _: None)
    keyed["enqueue_per_s"] = await ours.enqueue_each(database, f"{one}k", scale, lambda job: f"m{job % 50}")
    bare["enqueue_batch_per_s"] = await floor.insert_batches(url, other, scale, BATCH)
    queue["enqueue_batch_per_s"] = await ours.enqueue_batches(database, one, scale, BATCH)

    spent = process_time()
    bare["process_per_s"] = await floor.process(url, other, 2 * scale, TASKS)
    bare["process_cpu_us"] = 1e6 * (process_time() - spent) / (2 * scale)
    spent = process_time()
    queue["process_per_s"] = await ours.process(database, one, 2 * scale, TASKS)
    queue["process_cpu_us"] = 1e6 * (process_time() - spent) / (2 * scale)
    keyed["process_per_s"] = await ours.process(database, f"{one}k", scale, TASKS)

    calls = max(80, scale // 5)
    for name, seconds in (
        ("floor", await floor.latencies(url, f"{other}l", calls, PER_SECOND)),
        ("queue", await ours.latencies(database, f"{one}l", calls, PER_SECOND)),
    ):
        figures[name]["latency_p50_ms"] = 1_000 * percentile(seconds, 0.5)
        figures[name]["latency_p99_ms"] = 1_000 * percentile(seconds, 0.99)

    await ours.fill(database, f"{one}hot", hot)
    await ours.fill(database, f"{one}cold", 1)
    return figures | await ours.key_costs(database, {"cold_key": f"{one}cold", "hot_key": f"{one}hot"}, 150)


def ratios(result: Result) -> dict[str, Ratio]:
    """Return what the figures say."""
    hot = result.settings["hot_jobs"]
    return {
        "claim_behind_hot_key": result.ratio(
            ("hot_key", "claim_ms"), ("cold_key", "claim_ms"),
            f"time of a claim with {hot} jobs waiting behind one key over the same with none; 1 is the goal",
        ),
        "finish_behind_hot_key": result.ratio(
            ("hot_key", "finish_ms"), ("cold_key", "finish_ms"),
            "the same for finishing a job of that key, which makes the next one ready",
        ),
        "enqueue_behind_hot_key": result.ratio(
            ("hot_key", "enqueue_ms"), ("cold_key", "enqueue_ms"), "the same for enqueueing one more job of that key"
        ),
        "enqueue": result.ratio(
            ("queue", "enqueue_per_s"), ("floor", "enqueue_per_s"),
            "rate of enqueueing, one a commit, over bare INSERTs of the same row, one a commit",
        ),
        "enqueue_keyed": result.ratio(
            ("keyed", "enqueue_per_s"), ("floor", "enqueue_per_s"), "the same with a key, which takes a lock first"
        ),
        "enqueue_batch": result.ratio(
            ("queue", "enqueue_batch_per_s"), ("floor", "enqueue_batch_per_s"),
            f"the same, {BATCH} a commit on both sides, a statement each",
        ),
        "process": result.ratio(
            ("queue", "process_per_s"), ("floor", "process_per_s"),
            "rate of a worker whose jobs do nothing over a bare SKIP LOCKED loop, ten at a time on both sides",
        ),
        "process_cpu": result.ratio(
            ("queue", "process_cpu_us"), ("floor", "process_cpu_us"),
            "processor time of the worker's process per job over that of the bare loop",
        ),
        "process_keyed": result.ratio(
            ("keyed", "process_per_s"), ("floor", "process_per_s"), "the same with 50 keys, each in its order"
        ),
        "latency_p50": result.ratio(
            ("queue", "latency_p50_ms"), ("floor", "latency_p50_ms"),
            "median time from enqueueing to the handler over INSERT, NOTIFY and a claim by hand, at 40 a second",
        ),
        "latency_p99": result.ratio(("queue", "latency_p99_ms"), ("floor", "latency_p99_ms"), "the same, worst of 100"),
    }  # fmt: skip


async def measure(url: str, rounds: int, scale: int, hot: int) -> Result:
    """Measure for some rounds; the first, not counted, warms everything up."""
    settings = {
        "rounds": rounds, "jobs": scale, "batch": BATCH, "tasks": TASKS, "hot_jobs": hot, "per_second": PER_SECOND
    }  # fmt: skip
    result = Result("queue", settings)
    with within("default"):
        async with open_database(url, room="bench", connections=TASKS + 5) as database:
            await measure_round(database, url, 0, 100, 100)
            for number in range(1, rounds + 1):
                result.rounds.append(await measure_round(database, url, number, scale, hot))
    return result


def main() -> None:
    """Measure, write, show."""
    parser = argparse.ArgumentParser(prog="python -m bench.queue", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1_000, help="jobs per measurement, a multiple of 100")
    parser.add_argument("--hot", type=int, default=20_000, help="jobs behind the hot key")
    options = parser.parse_args()
    logs.configure("bench", "error")
    with serving_postgres() as url:
        result = asyncio.run(measure(url, options.rounds, options.jobs, options.hot))
    found = ratios(result)
    result.show(found)
    print(f"written: {result.write(found)}")


if __name__ == "__main__":
    main()
