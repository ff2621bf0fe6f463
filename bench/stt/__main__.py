"""`python -m bench.stt`: measure many calls on our own small model, in turns with what they are compared to."""

import argparse
import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

from bench.result import DIRECTORY, Result
from bench.stt import activity, interims, ours, peer, room, throughput
from bench.stt.calls import Call, make_calls, whole_tracks
from bench.stt.capacity import LATEST_SECONDS, Search, search
from bench.stt.delay import Trial
from bench.stt.ratios import ratios
from kit.telemetry import logs

PARTS = ("throughput", "interims", "calls", "room")

_ENDS_PER_SECOND = 0.15
"""Ends of speech on one track of the interviews, about."""
_FEWEST_ENDS = 20
_LONGEST_FACTOR = 3.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How long the measuring takes, and how fine it is."""

    parts: tuple[str, ...]
    rounds: int
    track_seconds: float
    """Beginning of each track that the throughput and the interims are measured on."""
    trial_seconds: float
    """Of one paced run."""
    precision: float
    """Share of the number of calls by which it may be too small."""
    all_peers: bool
    room_calls: int
    minutes: float
    """For which the room is held."""


QUICK = Scale(PARTS, 1, 45.0, 12.0, 0.35, all_peers=False, room_calls=8, minutes=0.5)
FULL = Scale(PARTS, 3, 137.0, 30.0, 0.15, all_peers=True, room_calls=12, minutes=3.0)


def _calls(count: int, scale: Scale) -> list[Call]:
    """Return calls long enough to end often together."""
    enough = _FEWEST_ENDS / _ENDS_PER_SECOND / count
    return make_calls(count, min(max(scale.trial_seconds, enough), _LONGEST_FACTOR * scale.trial_seconds))


async def _most_calls(loaded: ours.Loaded, scale: Scale, say: Callable[[str], None]) -> dict[str, Search]:
    """Search the capacity of ours and of the peers' way."""
    cores = os.cpu_count() or 1
    model = peer.LockedModel(throughput.bare_model(cores, 1))

    async def our_calls(count: int) -> Trial:
        trial, _, _ = await ours.hold(loaded, _calls(count, scale))
        say(f"ours: {count} calls, p95 {trial.p95_seconds:.2f} s")
        return trial

    def peers_calls(manner: peer.Manner, name: str) -> Callable[[int], "asyncio.Future[Trial]"]:
        def hold(count: int) -> Trial:
            trial = peer.hold(model, _calls(count, scale), manner)
            say(f"{name}: {count} calls, p95 {trial.p95_seconds:.2f} s")
            return trial

        return lambda count: asyncio.ensure_future(asyncio.to_thread(hold, count))

    passed = await asyncio.to_thread(peer.seconds_of_a_reading, model, _calls(1, scale)[0])
    guess = max(1, round(1.0 / passed))
    say(f"one reading of a buffer takes {passed:.3f} s")
    found = {"peer": await search(peers_calls(peer.EVERY_SECOND, "peer"), guess, precision=scale.precision)}
    found["ours"] = await search(our_calls, 5 * max(1, found["peer"].most), precision=scale.precision)
    others = {"peer_at_once": peer.AT_ONCE, "peer_tuned": peer.TUNED}
    for name, manner in others.items() if scale.all_peers else ():
        found[name] = await search(peers_calls(manner, name), max(1, found["peer"].most), precision=scale.precision)
    return found


async def measure(scale: Scale) -> Result:
    """Measure what is asked for, on one model that is loaded once; all but the throughput only once."""
    settings = {
        "model": "tiny-whisper, ours", "parts": list(scale.parts), "rounds": scale.rounds,
        "trial_seconds": scale.trial_seconds, "minutes": scale.minutes, "latest_seconds": LATEST_SECONDS,
        "room_calls": scale.room_calls,
    }  # fmt: skip
    result = Result("stt", settings)
    began = perf_counter()

    def say(line: str) -> None:
        print(f"[{perf_counter() - began:5.0f} s] {line}", flush=True)

    tracks = [each.beginning(scale.track_seconds) for each in whole_tracks()]
    once: dict[str, dict[str, float]] = {}
    async with ours.loaded() as loaded:
        if "throughput" in scale.parts:
            work = await asyncio.to_thread(throughput.cut, tracks)
            bare = await asyncio.to_thread(throughput.Bare, os.cpu_count() or 1)
            for turn in range(scale.rounds):
                result.rounds.append(await throughput.measure_round(loaded, bare, work, turn))
                say(f"throughput, round {turn + 1} of {scale.rounds}")
        if "interims" in scale.parts:
            once["vad"] = {"streams_per_core": activity.streams_per_core(tracks)}
            _, heard, _ = await ours.hold(loaded, tracks)
            once["interims"] = interims.figures(heard, tracks)
            say("interims heard")
        if "calls" in scale.parts:
            for name, found in (await _most_calls(loaded, scale, say)).items():
                once[name] = {
                    "calls": float(found.most), "p95_s": found.p95_seconds, "runs": float(len(found.trials)),
                }  # fmt: skip
    if "room" in scale.parts:
        log = DIRECTORY / "stt" / "room.log"
        calls = make_calls(scale.room_calls, 120.0)
        once["room"] = await asyncio.to_thread(room.measure, calls, scale.minutes, log)
    result.rounds = result.rounds or [{}]
    for figures in result.rounds:
        figures.update(once)
    return result


def main() -> None:
    """Measure, write, show."""
    parser = argparse.ArgumentParser(prog="python -m bench.stt", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about five minutes, rougher")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part alone; repeatable")
    parser.add_argument("--rounds", type=int, help=f"of the throughput; {FULL.rounds}")
    parser.add_argument("--seconds", type=float, help=f"of one paced run; {FULL.trial_seconds:g}")
    parser.add_argument(
        "--minutes", type=float, help=f"that the room is held for; {FULL.minutes:g}, and 30 for the real run"
    )
    options = parser.parse_args()
    logs.configure("bench", "error")
    usual = QUICK if options.quick else FULL
    scale = replace(
        usual,
        parts=tuple(options.only or PARTS),
        rounds=options.rounds or usual.rounds,
        trial_seconds=options.seconds or usual.trial_seconds,
        minutes=options.minutes or usual.minutes,
    )
    result = asyncio.run(measure(scale))
    found = ratios(result)
    result.show(found)
    print(f"written: {result.write(found)}")


if __name__ == "__main__":
    main()
