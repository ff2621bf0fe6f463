"""The check of a call: words against what was said, names against who said them, time against the clock."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from agent.common.v1.report_pb2 import Report
from agent.common.v1.transcript_pb2 import ParticipantCoverage, Segment
from mesh.demo.reference import Reference, Utterance

KINDS = ("transcribed", "silent", "muted", "concealed", "lost", "pending", "withdrawn")
CROSSTALK_MS = 1500  # a foreign word counts as the other's only if they said it about then
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Heard:
    """A final as a subscriber saw it: the segment and when it arrived, wall clock in ms."""

    segment: Segment
    arrival_ms: int


def words(text: str) -> list[str]:
    """The words of a text as they are compared: lower case, without punctuation, ё as е."""
    return _WORD.findall(text.casefold().replace("ё", "е"))


def word_error_rate(said: Sequence[Utterance], written: Sequence[Segment]) -> float:
    """Share of words that differ, in [0, …]: substitutions, insertions and deletions per word said."""
    expected = [word for utterance in said for word in words(utterance.text)]
    found = [word for segment in sorted(written, key=lambda s: s.start_ms) for word in words(segment.text)]
    return Levenshtein.distance(expected, found) / len(expected) if expected else float(bool(found))


def misattributed_words(name: str, written: Sequence[Segment], reference: Reference, offset_ms: int) -> int:
    """Words that stand under `name`, were not said by them, and were said by another at about that time.

    Args:
        written: the segments under the name.
        offset_ms: start of the callers' clock on the meeting's timeline.
    """
    own = next(speaker for speaker in reference.speakers if speaker.name == name)
    expected = [word for utterance in reference.said_by(own) for word in words(utterance.text)]
    placed = [(word, segment) for segment in sorted(written, key=lambda s: s.start_ms) for word in words(segment.text)]
    foreign = 0
    for step in Levenshtein.opcodes(expected, [word for word, _ in placed]):
        if step.tag in {"insert", "replace"}:
            for word, segment in placed[step.dest_start : step.dest_end]:
                foreign += word in _others_words(reference, own.id, segment, offset_ms)
    return foreign


def _others_words(reference: Reference, own: str, segment: Segment, offset_ms: int) -> set[str]:
    start, end = segment.start_ms - offset_ms - CROSSTALK_MS, segment.end_ms - offset_ms + CROSSTALK_MS
    near = (u for u in reference.utterances if u.speaker != own and u.start_ms < end and u.end_ms > start)
    return {word for utterance in near for word in words(utterance.text)}


def final_latencies(
    name: str, heard: Iterable[Heard], reference: Reference, started_ms: int, offset_ms: int
) -> list[int]:
    """Time from the true end of speech to the final on the subscriber, in ms, one entry per final.

    Args:
        started_ms: wall clock at which the callers began to play.
        offset_ms: start of the callers' clock on the meeting's timeline.
    """
    own = next(speaker for speaker in reference.speakers if speaker.name == name)
    said = reference.said_by(own)
    latencies = []
    for final in heard:
        start, end = final.segment.start_ms - offset_ms, final.segment.end_ms - offset_ms
        covered = [u for u in said if min(u.end_ms, end) - max(u.start_ms, start) > 0]
        if covered:
            latencies.append(final.arrival_ms - started_ms - covered[-1].end_ms)
    return latencies


def percentiles(values: Sequence[int]) -> dict[str, int]:
    """The median, the 95th and the 99th percentile of values in ms; all zero for none."""
    if len(values) < 2:
        return dict.fromkeys(("p50", "p95", "p99"), values[0] if values else 0)
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {f"p{n}": round(cuts[n - 1]) for n in (50, 95, 99)}


def coverage_ms(account: ParticipantCoverage) -> dict[str, int]:
    """The totals per kind, in ms."""
    return {kind: int(getattr(account.coverage_ms, kind)) for kind in KINDS}


def claims_with_evidence(report: Report, segments: Iterable[Segment]) -> tuple[int, int]:
    """Number of claims, and how many of them quote words that stand where they say."""
    texts = {segment.segment_id: segment.text for segment in segments}
    claims = [*report.key_moments, *report.decisions, *report.risks, *(item.claim for item in report.actions)]
    for question in report.questions:
        claims += [question.question, *question.answer]
    sound = sum(
        bool(claim.evidence)
        and all(texts.get(e.segment_id, "")[e.char_start : e.char_end] == e.quote != "" for e in claim.evidence)
        for claim in claims
    )
    return len(claims), sound
