"""`python -m bench.gateway`: measure the gateway in turns with routes by hand and with the room itself."""

import argparse
import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import orjson
import uvloop

from bench.durable.servers import KEY, Server, running
from bench.gateway import requests, streams
from bench.process import free_port
from bench.result import DIRECTORY, Ratio, Result, percentile

WARM_SECONDS = 1.0
SLICE_SECONDS = 0.2
START_SECONDS = 60.0
HTTP = ("gateway", "by_hand_behind_edge", "by_hand")


@dataclass(frozen=True, slots=True)
class Loads:
    """What is asked for."""

    seconds: float
    at_once: int
    streams: int


async def measure(servers: Mapping[str, Server], loads: Loads, rounds: int) -> Result:
    """Measure every variant on every route, and as streams, round after round."""
    settings = {
        "rounds": rounds, "warm_seconds": WARM_SECONDS, "window_seconds": loads.seconds, "slice_seconds": SLICE_SECONDS,
        "requests_at_once": loads.at_once, "streams": loads.streams, "frame_ms": 100,
        "chunk_bytes": len(requests.CHUNK),
    }  # fmt: skip
    await same_answers(servers)
    result = Result("gateway", settings)
    for number in range(rounds):
        names, figures = list(servers), dict[str, dict[str, float]]()
        in_turns = names[number % len(names) :] + names[: number % len(names)]
        for kind, route in requests.ROUTES.items():
            for name, found in (await one_route(servers, in_turns, route, loads)).items():
                figures[f"{kind}_{name}"] = found
        for name in in_turns:
            figures[f"stream_{name}"] = await one_stream(name, servers[name], loads)
        result.rounds.append(dict(sorted(figures.items())))
    return result


async def one_route(
    servers: Mapping[str, Server], in_turns: Sequence[str], route: requests.Route, loads: Loads
) -> dict[str, dict[str, float]]:
    """Ask every server for so long, in slices that take turns, so that a busy moment meets all of them."""
    found = {name: requests.Answers() for name in in_turns}
    async with AsyncExitStack() as stack:
        asks = {}
        for name in in_turns:
            over = requests.over_http if name in HTTP else requests.over_grpc
            asks[name] = await stack.enter_async_context(over(servers[name].address, route, loads.at_once))
            await requests.load(asks[name], WARM_SECONDS / 2, lambda: 0.0, requests.Answers())
        for turn in range(round(loads.seconds / SLICE_SECONDS)):
            for name in in_turns if turn % 2 else reversed(in_turns):
                await requests.load(asks[name], SLICE_SECONDS, partial(_cpu_seconds, servers[name]), found[name])
    return {
        name: {
            "cpu_per_request_us": 1e6 * answers.cpu / len(answers.seconds),
            "requests_per_s": len(answers.seconds) / answers.wall,
            "p50_ms": 1_000 * percentile(answers.seconds, 0.5),
            "p99_ms": 1_000 * percentile(answers.seconds, 0.99),
        }
        for name, answers in found.items()
    }


def _cpu_seconds(server: Server) -> float:
    """Return a server's processor time as the scheduler counts it: a clock tick is a tenth of a slice."""
    times = Path(f"/proc/{server.pid}/task").glob("*/schedstat")
    return sum(int(each.read_text(encoding="ascii").split()[0]) for each in times) / 1e9


async def one_stream(name: str, server: Server, loads: Loads) -> dict[str, float]:
    """Hold the streams once; returns figures."""

    async def held(opening: streams.Opening) -> tuple[requests.Answers, float]:
        return await streams.speak(opening, loads.streams, WARM_SECONDS, loads.seconds, lambda: server.cpu_seconds)

    if name in HTTP:
        found, late = await held(streams.over_socket(server.address))
    else:
        async with grpc.aio.insecure_channel(server.address) as channel:
            found, late = await held(streams.over_call(channel))
    return {
        "streams_per_core": loads.streams / (found.cpu / found.wall),
        "cpu_per_message_us": 1e6 * found.cpu / (found.wall * loads.streams / streams.FRAME_SECONDS),
        "ack_p50_ms": 1_000 * percentile(found.seconds, 0.5),
        "ack_p99_ms": 1_000 * percentile(found.seconds, 0.99),
        "late_share": late,
    }


async def same_answers(servers: Mapping[str, Server]) -> None:
    """Make sure that the routes by hand say what the gateway says; waits for the rooms to be reached.

    Raises:
        RuntimeError: they do not.
    """
    for name, route in requests.ROUTES.items():
        said = {variant: await _said(servers[variant], route) for variant in HTTP}
        if any(answer != said["gateway"] for answer in said.values()):
            raise RuntimeError(f"{name}: the answers differ: {said}"[:4_000])


async def _said(server: Server, route: requests.Route) -> Any:
    deadline = monotonic() + START_SECONDS
    while True:
        try:
            async with requests.over_http(server.address, route, 1) as (ask,):
                # Defaults that a hand leaves out are no difference, nor is the order.
                return _bare(orjson.loads(await ask()))
        except (OSError, RuntimeError, asyncio.IncompleteReadError):
            if monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _bare(inner) for name, inner in value.items() if inner not in (None, {}, [])}
    return [_bare(inner) for inner in value] if isinstance(value, list) else value


def ratios(result: Result) -> dict[str, Ratio]:
    """Return what the figures say."""
    found: dict[str, Ratio] = {}
    of = {"get": "reading a meeting of 1,500 words", "start": "starting a meeting", "chunk": "a second of sound"}
    against: dict[str, tuple[str, Callable[[str], str]]] = {
        "by_hand_behind_edge": ("route_vs_by_hand", lambda what: f"{what}, a route by hand behind the same edge"),
        "by_hand": ("whole_vs_bare", lambda what: f"{what}, a bare route by hand: no ids, spans, headers, metrics"),
    }
    for route, meaning in of.items():
        for other, (name, said) in against.items():
            for figure, short in (("cpu_per_request_us", "cpu"), ("p50_ms", "p50")):
                found[f"{route}_{short}_{name}"] = result.ratio(
                    (f"{route}_gateway", figure), (f"{route}_{other}", figure),
                    f"{'processor time per request' if short == 'cpu' else 'median time'} over {said(meaning)}",
                )  # fmt: skip
        found[f"{route}_p50_vs_grpc"] = result.ratio(
            (f"{route}_gateway", "p50_ms"), (f"{route}_grpc", "p50_ms"), f"median time over bare gRPC, {meaning}"
        )
    for other, meaning in (
        ("by_hand_behind_edge", "a bridge by hand behind the same edge"),
        ("grpc", "the room's own gRPC stream, with a room that does nothing"),
    ):
        found[f"streams_per_core_vs_{other}"] = result.ratio(
            ("stream_gateway", "streams_per_core"), (f"stream_{other}", "streams_per_core"),
            f"WebSocket audio streams that a core of the gateway carries over those of {meaning}",
        )  # fmt: skip
    found["stream_ack_p50_vs_grpc"] = result.ratio(
        ("stream_gateway", "ack_p50_ms"), ("stream_grpc", "ack_p50_ms"),
        "median time to an acknowledgement over the gRPC stream's",
    )  # fmt: skip
    return found


def _servers(stack: ExitStack, work: Path) -> dict[str, Server]:
    room = stack.enter_context(running("bench.gateway.room", {}, work / "room.log"))
    address = f"127.0.0.1:{free_port()}"
    environment = {
        "GATEWAY_GRPC_LISTEN": f"127.0.0.1:{free_port()}",
        "GATEWAY_LISTEN": address,
        "API_KEYS": KEY,
        "AUTH_MODE": "api_key",
        "LOG_LEVEL": "warning",
        "SERVICE_API_KEYS": f"{KEY}-of-services",
        **{f"{name}_TARGET": room.address for name in ("INGEST", "STT", "CONNECTOR", "REPORT")},
    }
    by_hand = {"BENCH_ROOM": room.address, "LOG_LEVEL": "warning"}
    return {
        "gateway": stack.enter_context(running("gateway", environment, work / "gateway.log", address=address)),
        "by_hand_behind_edge": stack.enter_context(
            running("bench.gateway.handwritten", by_hand | {"BENCH_EDGE": "1"}, work / "edge.log")
        ),
        "by_hand": stack.enter_context(running("bench.gateway.handwritten", by_hand, work / "hand.log")),
        "grpc": room,
    }


def main() -> None:
    """Measure, write, show."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of one measurement")
    parser.add_argument("--at-once", type=int, default=4, help="requests")
    parser.add_argument("--streams", type=int, default=40, help="of audio")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 2 s, three minutes")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 3, 2.0
    work = DIRECTORY / "gateway"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with ExitStack() as stack:
        servers = _servers(stack, work)
        loads = Loads(options.seconds, options.at_once, options.streams)
        result = uvloop.run(measure(servers, loads, options.rounds))
    found = ratios(result)
    result.show(found)
    print(f"written: {result.write(found)}")
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
