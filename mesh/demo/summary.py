"""The demo's result as scripts read it, and the judgement over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

WORST_WER = 0.25  # a demonstration model on synthetic voices; beyond this the path, not the model, is broken


@dataclass(frozen=True, slots=True)
class ParticipantSummary:
    """One caller: `coverage_ms` adds up to the call, `wer` is a share of the words said."""

    name: str
    language: str
    coverage_ms: Mapping[str, int]
    wer: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything in build/demo/summary.json, under the same names."""

    call_seconds: float
    participants: Sequence[ParticipantSummary]
    segments: int
    engine: str
    model: str
    final_latency_ms: Mapping[str, int]
    misattributed_words: int
    claims: Mapping[str, int]
    processes: Mapping[str, int]
    seconds: Mapping[str, float]

    def as_dict(self) -> dict[str, object]:
        """The summary as plain values for JSON."""
        return asdict(self)

    def faults(self) -> list[str]:
        """What is wrong with the call, a sentence each; empty when it is sound."""
        found = []
        for participant in self.participants:
            total, length = sum(participant.coverage_ms.values()), round(1000 * self.call_seconds)
            if total != length:
                found.append(f"{participant.name}: coverage adds up to {total} ms, the call has {length} ms")
            if participant.coverage_ms["pending"]:
                found.append(f"{participant.name}: {participant.coverage_ms['pending']} ms were never decided")
            if participant.wer > WORST_WER:
                found.append(f"{participant.name}: {participant.wer:.0%} of the words are wrong")
        if self.misattributed_words:
            found.append(f"{self.misattributed_words} words stand under another's name")
        if self.claims["with_evidence"] != self.claims["total"]:
            found.append(f"{self.claims['total'] - self.claims['with_evidence']} claims have no evidence")
        if not self.segments:
            found.append("nothing was transcribed")
        if len(self.participants) < 2:
            found.append(f"{len(self.participants)} of 2 callers were heard")
        return found
