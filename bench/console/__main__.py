"""`python -m bench.console`: what the console costs at 500 live sessions, against a stock table and an empty app."""

import argparse
import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

from agent.console.v1 import console_service_pb2 as pb
from agent.console.v1.console_service_pb2_grpc import ConsoleServiceStub
from bench.console.empty import SHOWS
from bench.console.terminal import COLUMNS, LINES, Terminal, open_terminal
from bench.durable.servers import KEY, Server, running
from bench.process import free_port
from bench.result import DIRECTORY, Ratio, Result
from kit.rpc.client import open_channel

SERVICE_KEY = f"{KEY}-of-services"
SETTLE_SECONDS = 5.0
START_SECONDS = 120.0
GOAL_CPU_PERCENT, GOAL_KB_PER_S = 5.0, 10.0


@asynccontextmanager
async def counting(target: str) -> AsyncIterator[list[int]]:
    """Subscribe beside the consoles for the block; the list grows by the rows of sessions in each frame."""
    rows: list[int] = []

    async def follow() -> None:
        async with open_channel(target, api_key=SERVICE_KEY) as channel:
            async for frame in ConsoleServiceStub(channel).WatchConsole(pb.WatchConsoleRequest(max_hz=2)):
                rows.append(len(frame.delta.sessions))

    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(follow(), name="bench.count")
        try:
            yield rows
        finally:
            following.cancel()


async def measure_round(gateways: Mapping[str, str], sessions: int, seconds: float) -> dict[str, dict[str, float]]:
    """Open every variant, let it settle, and measure all of them in the same window; returns figures by variant."""
    busy, still = gateways["busy"], gateways["still"]
    title = f"sessions {sessions}"
    programs = {
        "overview": (["tui", "--target", busy], title, ""),
        "sessions": (["tui", "--target", busy], title, "2"),
        "idle": (["tui", "--target", still], title, ""),
        "stock_table": (["bench.console.stock", busy, SERVICE_KEY], "Board prep", ""),
        "empty": (["bench.console.empty"], SHOWS, ""),
    }
    figures: dict[str, dict[str, float]] = {}
    async with AsyncExitStack() as stack:
        terminals: dict[str, Terminal] = {}
        for name, (arguments, shows, keys) in programs.items():
            environment = {"SERVICE_API_KEYS": SERVICE_KEY}
            terminal = await stack.enter_async_context(open_terminal(arguments, environment))
            first = await terminal.sent(shows, START_SECONDS)
            terminal.press(keys)
            terminals[name] = terminal
            figures[name] = {"first_data_ms": 1_000 * first, "first_data_cpu_ms": 1_000 * terminal.cpu_seconds}
        rows = await stack.enter_async_context(counting(busy))
        await asyncio.sleep(SETTLE_SECONDS)
        counted = len(rows)
        loop = asyncio.get_running_loop()
        began = loop.time()
        before = {name: (one.cpu_seconds, one.bytes, one.compressed_bytes) for name, one in terminals.items()}
        await asyncio.sleep(seconds)
        after = {name: (one.cpu_seconds, one.bytes, one.compressed_bytes) for name, one in terminals.items()}
        elapsed = loop.time() - began
        for name, terminal in terminals.items():
            cpu, sent, compressed = (new - old for new, old in zip(after[name], before[name], strict=True))
            figures[name] |= {
                "cpu_percent": 100 * cpu / elapsed,
                "kb_per_s": sent / elapsed / 1_000,
                "kb_per_s_compressed": compressed / elapsed / 1_000,
                "memory_mib": terminal.memory_mib,
            }
        figures["stream"] = {"rows_per_s": sum(rows[counted:]) / elapsed}
    return figures


def ratios(result: Result) -> dict[str, Ratio]:
    """Return what the figures say."""
    found: dict[str, Ratio] = {}
    for view in ("overview", "sessions"):
        what = f"the {view} at {result.settings['sessions']} sessions and {result.settings['hz']:g} Hz"
        found[f"{view}_cpu_over_goal"] = goal(
            result,
            view,
            "cpu_percent",
            GOAL_CPU_PERCENT,
            f"processor time of {what} over {GOAL_CPU_PERCENT:g} % of a core",
        )
        found[f"{view}_bytes_over_goal"] = goal(
            result, view, "kb_per_s", GOAL_KB_PER_S, f"bytes to the terminal of {what} over {GOAL_KB_PER_S:g} kB/s"
        )
        found[f"{view}_cpu_vs_stock_table"] = result.ratio(
            (view, "cpu_percent"), ("stock_table", "cpu_percent"),
            f"processor time of {what} over that of the library's own table with the same stream",
        )  # fmt: skip
        found[f"{view}_bytes_vs_stock_table"] = result.ratio(
            (view, "kb_per_s"), ("stock_table", "kb_per_s"), "the same for bytes to the terminal"
        )
    found["busy_vs_idle_cpu"] = result.ratio(
        ("overview", "cpu_percent"), ("idle", "cpu_percent"),
        "processor time of the overview when every session changes over that when none does",
    )  # fmt: skip
    found["memory_vs_empty"] = result.ratio(
        ("overview", "memory_mib"), ("empty", "memory_mib"), "resident memory over that of an app that shows one line"
    )
    found["first_data_vs_empty"] = result.ratio(
        ("overview", "first_data_ms"), ("empty", "first_data_ms"),
        "time from the start of the process to the first rows over that of such an app to its line",
    )  # fmt: skip
    return found


def goal(result: Result, variant: str, figure: str, limit: float, meaning: str) -> Ratio:
    """Set a figure against its goal; 1 or less meets it."""
    return Ratio(result.medians()[variant][figure] / limit, f"{meaning}; at most 1 is the goal")


def _gateway(stack: ExitStack, work: Path, name: str, sessions: int, hz: float) -> tuple[Server, str]:
    """Run the real gateway in front of scripted rooms; returns it and the address for consoles."""
    ports = [free_port() for _ in range(4)]
    room = {"BENCH_PORTS": ",".join(map(str, ports)), "BENCH_SESSIONS": str(sessions), "BENCH_HZ": str(hz)}
    stack.enter_context(running("bench.console.room", room, work / f"{name}-room.log"))
    target, listen = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    environment = {
        "AUTH_MODE": "api_key",
        "API_KEYS": KEY,
        "GATEWAY_GRPC_LISTEN": target,
        "GATEWAY_LISTEN": listen,
        "LOG_LEVEL": "warning",
        "SERVICE_API_KEYS": SERVICE_KEY,
        **{
            f"{room}_TARGET": f"127.0.0.1:{port}"
            for room, port in zip(("INGEST", "STT", "CONNECTOR", "REPORT"), ports, strict=True)
        },
    }
    return stack.enter_context(running("gateway", environment, work / f"{name}.log", address=listen)), target


async def measure(work: Path, rounds: int, sessions: int, hz: float, seconds: float) -> Result:
    """Measure for some rounds."""
    settings = {
        "rounds": rounds, "sessions": sessions, "hz": hz, "window_seconds": seconds, "settle_seconds": SETTLE_SECONDS,
        "terminal": f"{COLUMNS}x{LINES}, true colour",
    }  # fmt: skip
    result = Result("console", settings)
    with ExitStack() as stack:
        gateways = {
            name: _gateway(stack, work, name, sessions, rate)[1] for name, rate in (("busy", hz), ("still", 0.0))
        }
        for _ in range(rounds):
            result.rounds.append(await measure_round(gateways, sessions, seconds))
    return result


def main() -> None:
    """Measure, write, show."""
    parser = argparse.ArgumentParser(prog="python -m bench.console", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 20 s: a minute in all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each window")
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--hz", type=float, default=2.0, help="changes of every session in a second")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 20.0
    work = DIRECTORY / "console-work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    result = asyncio.run(measure(work, options.rounds, options.sessions, options.hz, options.seconds))
    found = ratios(result)
    result.show(found)
    print(f"written: {result.write(found)}")


if __name__ == "__main__":
    main()
