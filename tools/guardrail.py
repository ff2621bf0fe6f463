"""A guardrail: figures, the thresholds that they must keep, a verdict in sentences, and the report."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.result import machine, percentile
from kit.lifecycle import StartError
from tools.reach import NothingToCall

REPORTS = Path("reports")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A bound on one figure, and the option that sets it."""

    figure: str
    option: str
    bound: float
    unit: str = ""
    least: bool = False
    """Whether the bound is the least that is allowed instead of the most."""

    def breach(self, value: float | None) -> str:
        """Return what is wrong in one sentence, empty if nothing is."""
        if value is None:
            return f"{self.figure} was not measured, so {self.option} {self.bound:g} cannot be shown to hold"
        if value >= self.bound if self.least else value <= self.bound:
            return ""
        how = "below" if self.least else "above"
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.figure} is {value:.4g}{unit}, {how} the threshold {self.bound:g}{unit} ({self.option})"


@dataclass(slots=True)
class Report:
    """What a guardrail found; `write` keeps it."""

    name: str
    settings: Mapping[str, Any]
    figures: dict[str, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    """What the figures are made of: latencies by kind, contours, answers."""
    errors: dict[str, int] = field(default_factory=dict)
    """What went wrong, in words, and how often."""
    warnings: list[str] = field(default_factory=list)
    """What is worth a look and breaks no threshold."""
    breaches: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every threshold holds."""
        return not self.breaches

    def fail(self, sentence: str) -> None:
        """Count something that went wrong."""
        self.errors[sentence] = self.errors.get(sentence, 0) + 1

    def judge(self, thresholds: Sequence[Threshold]) -> None:
        """Hold the figures against the thresholds."""
        self.breaches += [said for each in thresholds if (said := each.breach(self.figures.get(each.figure)))]
        load, cores = os.getloadavg()[0], os.cpu_count() or 1
        if self.breaches and load > 2 * cores:
            self.warnings.append(f"this machine has {cores} cores and a load of {load:.0f}: run it again alone")

    def write(self, path: Path, thresholds: Sequence[Threshold]) -> None:
        """Write the report as JSON."""
        document = {
            "name": self.name,
            "ok": self.ok,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "breaches": self.breaches,
            "warnings": self.warnings,
            "figures": {name: float(f"{value:.4g}") for name, value in self.figures.items()},
            "thresholds": [asdict(each) for each in thresholds],
            "errors": self.errors,
            "details": self.details,
            "settings": dict(self.settings),
            "machine": machine(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def show(self, path: Path) -> None:
        """Print the figures, then the verdict; failures to standard error."""
        for name, value in self.figures.items():
            print(f"{value:10.4g}  {name}")
        for sentence, count in sorted(self.errors.items(), key=lambda each: -each[1])[:10]:
            print(f"{self.name}: {count} x {sentence}", file=sys.stderr)
        for sentence in self.warnings:
            print(f"{self.name}: worth a look: {sentence}", file=sys.stderr)
        for sentence in self.breaches:
            print(f"{self.name}: FAILED: {sentence}", file=sys.stderr)
        print(f"{self.name}: {'passed' if self.ok else 'failed'}; {path}")


def verdict(
    name: str,
    asked: argparse.Namespace,
    run: Callable[[argparse.Namespace, Report], Coroutine[Any, Any, None]],
    thresholds: Callable[[argparse.Namespace], list[Threshold]],
) -> int:
    """Run a guardrail, write its report and show it; returns the exit status: 0 held, 1 did not, 2 could not run.

    Args:
        name: of the guardrail.
        asked: the command line; what has "key" in its name stays out of the report.
        run: fills the report with figures.
        thresholds: what the figures are held to.
    """
    report = Report(name, {option: str(value) for option, value in vars(asked).items() if "key" not in option})
    try:
        asyncio.run(run(asked, report))
    except (StartError, NothingToCall) as error:
        print(error, file=sys.stderr)
        return 2
    bounds = thresholds(asked)
    report.judge(bounds)
    report.write(asked.report, bounds)
    report.show(asked.report)
    return 0 if report.ok else 1


def latencies(seconds: Sequence[float]) -> dict[str, float]:
    """Return count, median, 95th and 99th percentile and maximum, in milliseconds; the count alone of none."""
    if not seconds:
        return {"count": 0}
    shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "max_ms": 1.0}
    found = {name: round(1_000 * percentile(seconds, share), 2) for name, share in shares.items()}
    return {"count": len(seconds), **found}


def figures_of(name: str, seconds: Sequence[float]) -> dict[str, float]:
    """Return the percentiles as figures, `NAME_p95_ms`; none of nothing."""
    return {f"{name}_{key}": value for key, value in latencies(seconds).items() if key.startswith("p")}


LITE_MEETINGS = 3
LITE_SECONDS = 8.0
LITE_FACTOR = 2.0
"""How much wider the bounds on time are with --lite: with few samples one slow moment is a percentile."""


class Lite(argparse.Action):
    """`--lite`: a smaller load and wider bounds on time; options after it count more."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        namespace.lite, namespace.meetings, namespace.seconds = True, LITE_MEETINGS, LITE_SECONDS
        for name in vars(namespace):
            if name.startswith("max_") and name.endswith(("_ms", "_seconds")):
                setattr(namespace, name, LITE_FACTOR * parser.get_default(name))


def add_load_options(parser: argparse.ArgumentParser, report: str, *, meetings: int, seconds: float) -> None:
    """Add the options that every guardrail has."""
    lite = f"first: {LITE_MEETINGS} meetings of {LITE_SECONDS:g} s, bounds on time {LITE_FACTOR:g} times as wide"
    parser.add_argument("--lite", action=Lite, nargs=0, default=False, help=lite)
    parser.add_argument("--meetings", type=int, default=meetings, metavar="N", help="meetings at once (%(default)s)")
    parser.add_argument("--seconds", type=float, default=seconds, help="of speech in each (%(default)g)")
    parser.add_argument("--language", choices=("en", "ru"), default="en", help="of what is said (%(default)s)")
    parser.add_argument("--report", type=Path, default=REPORTS / report, metavar="FILE", help="(%(default)s)")
