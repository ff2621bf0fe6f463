"""The result of a bench: rounds, medians, and the ratios that are worth comparing between machines.

Absolute figures belong to one machine on one day. A ratio sets two figures against each other that were taken in turns
in the same run, so that whatever else the machine was doing met both.
"""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

DIRECTORY = Path("build/bench")


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure over another, and what that says in one sentence."""

    value: float
    meaning: str


@dataclass(slots=True)
class Result:
    """What a bench found; `write` keeps it."""

    name: str
    settings: Mapping[str, Any]
    """How it was run: rounds, seconds, streams."""
    rounds: list[dict[str, dict[str, float]]] = field(default_factory=list)
    """Figures of each variant, round after round; the unit stands at the end of a figure's name."""
    load_before: float = field(default_factory=lambda: os.getloadavg()[0])

    def medians(self) -> dict[str, dict[str, float]]:
        """Return the median of every figure over the rounds."""
        return {
            variant: {name: median(each[variant][name] for each in self.rounds) for name in figures}
            for variant, figures in self.rounds[0].items()
        }

    def ratio(self, one: tuple[str, str], other: tuple[str, str], meaning: str) -> Ratio:
        """Set a figure against another: the median over the rounds of what each round gives.

        Args:
            one: variant and figure.
            other: what it is divided by.
            meaning: what the ratio says.
        """
        pairs = [(each[one[0]][one[1]], each[other[0]][other[1]]) for each in self.rounds]
        return Ratio(median(above / below for above, below in pairs if below), meaning)

    def write(self, ratios: Mapping[str, Ratio]) -> Path:
        """Write `build/bench/NAME.json`; returns its path."""
        document = {
            "name": self.name,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "ratios": {name: _rounded(ratio.value) for name, ratio in ratios.items()},
            "meaning": {name: ratio.meaning for name, ratio in ratios.items()},
            "medians": _rounded(self.medians()),
            "settings": dict(self.settings),
            "machine": machine() | {"load_before": round(self.load_before, 2)},
            "rounds": _rounded(self.rounds),
        }
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        path = DIRECTORY / f"{self.name}.json"
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        return path

    def show(self, ratios: Mapping[str, Ratio]) -> None:
        """Print the ratios, then the medians."""
        for name, ratio in ratios.items():
            print(f"{ratio.value:10.3g}  {name}: {ratio.meaning}")
        for variant, figures in self.medians().items():
            print(f"{variant}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "load": round(os.getloadavg()[0], 2),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies, by the nearest rank.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value
