"""The summary of a run: a file for programs, lines for people."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.chaos.evidence import Evidence
from tests.chaos.verdict import Verdict

COUNTS = ("lost_ms", "duplicates", "holes", "wrong_words", "jobs_twice", "miscounted", "broken", "journals_left")
"""Each must be zero."""


@dataclass
class Summary:
    """What `summary.json` holds."""

    seed: int
    kills: dict[str, int]
    """By room."""
    calls: int
    audio_seconds: float
    """Of every participant, acknowledged and compared."""
    coverage_ms: dict[str, int]
    """By kind, of all calls."""
    lost_ms: int
    duplicates: int
    holes: int
    wrong_words: int
    last_words_present: bool
    jobs_twice: int
    stops: int
    """SIGSTOP with SIGCONT later."""
    restarts: int
    """SIGTERM."""
    cuts: int
    """Connections reset, stalled or cut."""
    disk_fills: int
    seconds: float
    replicas: int
    miscounted: int
    """Accounts of participants that do not add up or are not the undisturbed run's."""
    broken: int
    """Calls that were refused, or not through in time."""
    journals_left: int
    """Journals of finished meetings that nobody removed."""
    crashes: dict[str, list[int]] = field(default_factory=dict)
    """Exit statuses that nobody asked for, by replica; a room that starts while PostgreSQL is away gives up with 1."""
    connections: int = 0
    """That the clients made."""
    notes: list[str] = field(default_factory=list)
    """What this run left out."""

    @property
    def sound(self) -> bool:
        """Whether nothing acknowledged is missing and every count is zero."""
        return self.calls > 0 and self.last_words_present and not any(getattr(self, count) for count in COUNTS)

    def write(self, path: Path) -> None:
        """Write the file."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    def lines(self) -> list[str]:
        """The summary for people."""
        killed = ", ".join(f"{room} {count}" for room, count in sorted(self.kills.items()))
        covered = ", ".join(f"{kind} {ms / 1000:.1f} s" for kind, ms in sorted(self.coverage_ms.items()))
        counts = ", ".join(f"{count} {getattr(self, count)}" for count in COUNTS)
        return [
            f"{sum(self.kills.values())} kills in {self.seconds:.0f} s ({killed}), {self.stops} stops, "
            f"{self.restarts} restarts, {self.cuts} cuts, {self.disk_fills} disk fills",
            f"{self.calls} calls, {self.audio_seconds:.0f} s of audio over {self.connections} connections: {covered}",
            f"{counts}, last words {'present' if self.last_words_present else 'MISSING'}",
            *self.notes,
        ]


def summarise(
    verdicts: Sequence[Verdict], evidence: Mapping[str, Evidence], kills: Mapping[str, int], others: Mapping[str, int]
) -> dict[str, object]:
    """Add verdicts up.

    Args:
        verdicts: of every call.
        evidence: by meeting.
        kills: by room.
        others: of the other faults, by kind.

    Returns:
        Those fields of `Summary` that follow from these.
    """
    coverage: Counter[str] = Counter()
    for found in evidence.values():
        for sums in found.coverage_ms.values():
            coverage.update(sums)
    samples = sum(len(pcm) // 2 for verdict in verdicts for pcm in verdict.call.kept.values())
    return {
        "kills": dict(kills),
        "calls": len(verdicts),
        "audio_seconds": round(samples / 16_000, 1),
        "coverage_ms": dict(coverage),
        "lost_ms": sum(verdict.lost_ms for verdict in verdicts),
        "duplicates": sum(verdict.duplicates for verdict in verdicts),
        "holes": sum(verdict.holes for verdict in verdicts),
        "wrong_words": sum(verdict.wrong_words for verdict in verdicts),
        "last_words_present": all(verdict.last_words_present for verdict in verdicts),
        "jobs_twice": sum(verdict.jobs_twice for verdict in verdicts),
        "miscounted": sum(verdict.miscounted for verdict in verdicts),
        "broken": sum(verdict.broken for verdict in verdicts),
        "connections": sum(verdict.call.connections for verdict in verdicts),
        "stops": others.get("freeze", 0),
        "restarts": others.get("restart", 0),
        "cuts": sum(others.get(kind, 0) for kind in ("reset", "stall", "cut")),
        "disk_fills": others.get("fill", 0),
    }
