"""`python -m bench.wer`: measure the word error rate of a two-track call, against the bare engine on the same cuts."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from time import perf_counter

import jiwer

from bench.result import DIRECTORY, Ratio, Result
from bench.wer import bare, mesh, stream
from bench.wer.call import LANGUAGES, Call, make_call
from examples.interview.espeak import SynthesiserMissing
from examples.interview.words import normalise
from kit.telemetry import logs

GOAL_POINTS = 0.2
_MINUTES, _QUICK_MINUTES = 10.0, 2.0


def measure_language(call: Call) -> dict[str, dict[str, float]]:
    """Transcribe a call in every way; returns figures by variant."""
    ways: dict[str, Callable[[], dict[str, str]]] = {
        "bare": partial(bare.transcribe, call),
        "stream": partial(stream.transcribe, call, DIRECTORY / "wer.log"),
        "mesh": partial(mesh.transcribe, call),
    }
    figures = {}
    for name, transcribe in ways.items():
        started = perf_counter()
        texts = transcribe()
        seconds = perf_counter() - started
        figures[f"{name}_{call.language}"] = {
            "wer_percent": 100 * word_error_rate(call, texts),
            "times_real_time": call.seconds / seconds,
        }
    return figures


def word_error_rate(call: Call, texts: dict[str, str]) -> float:
    """Return the error rate over both sides; case, punctuation and the dots of ё do not count."""
    said = [normalise(side.text) for side in call.sides]
    return float(jiwer.wer(said, [normalise(texts[side.name]) for side in call.sides]))


def ratios(result: Result) -> dict[str, Ratio]:
    """Return what the figures say: here differences, in points."""
    found = {}
    for way, what in (("stream", "the live stream's"), ("mesh", "the whole mesh's (agent transcribe)")):
        for language in LANGUAGES:
            each = [
                figures[f"{way}_{language}"]["wer_percent"] - figures[f"bare_{language}"]["wer_percent"]
                for figures in result.rounds
            ]
            found[f"{way}_{language}_points"] = Ratio(
                max(each, key=abs),
                f"{what} word error rate less the bare engine's on the same cuts, in points; the goal is {GOAL_POINTS}",
            )
            found[f"{way}_{language}_times_real_time"] = Ratio(
                min(figures[f"{way}_{language}"]["times_real_time"] for figures in result.rounds),
                "length of the call over the time it took, starts included; above 1 is the goal",
            )
    return found


def main() -> int:
    """Measure, write, show; return 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.wer", description=__doc__)
    parser.add_argument("--minutes", type=float, default=_MINUTES, help="length of the call")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_MINUTES:.0f} minutes")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logs.configure("bench", "error")
    minutes = _QUICK_MINUTES if options.quick else options.minutes
    result = Result("wer", {"minutes": minutes, "seed": options.seed})
    figures: dict[str, dict[str, float]] = {}
    try:
        for language in LANGUAGES:
            figures |= measure_language(make_call(language, minutes, options.seed))
    except SynthesiserMissing as missing:
        print(f"bench.wer: {missing}", file=sys.stderr)
        return 1
    result.rounds.append(figures)
    found = ratios(result)
    result.show(found)
    print(f"written: {result.write(found)}")
    missed = [name for name, ratio in found.items() if _misses(name, ratio.value)]
    if missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def _misses(name: str, value: float) -> bool:
    return value > GOAL_POINTS if name.endswith("_points") else value <= 1.0


if __name__ == "__main__":
    sys.exit(main())
