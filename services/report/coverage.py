"""The account of every second, in words: shares of the time participants were there, and what was lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from services.report.document import CoverageTotals, ParticipantCoverage
from services.report.wording import Wording, percents

_SHARES = ("transcribed", "silent", "muted", "concealed", "withdrawn", "pending")


def coverage_lines(coverage: Sequence[ParticipantCoverage], length_ms: int, words: Wording) -> list[str]:
    """The account of the meeting, then one line per participant; empty if there is no account.

    "Every second accounted for" is said only when each participant's kinds and absence add up to the meeting's
    length to the millisecond; otherwise the line says how much is missing.
    """
    if not coverage:
        return []
    missing = sum(abs(length_ms - _accounted_ms(one)) for one in coverage)
    together = _sum([one.coverage_ms for one in coverage])
    kinds = _kinds(together, words)
    first = (
        words.label("uncovered", missing=seconds(missing), kinds=kinds)
        if missing
        else words.label("covered", kinds=kinds)
    )
    return [first, *(_line(one, words) for one in coverage)]


def _line(one: ParticipantCoverage, words: Wording) -> str:
    kinds = _kinds(one.coverage_ms, words)
    if one.absent_ms:
        kinds += ", " + words.label("kind_absent", seconds=seconds(one.absent_ms))
    return words.label("covered_participant", name=one.display_name, kinds=kinds)


def _kinds(totals: CoverageTotals, words: Wording) -> str:
    """Shares in whole percent; what was lost always stands last, in seconds, also when it is nothing."""
    amounts = [getattr(totals, kind) for kind in _SHARES] + [totals.lost]
    shares = zip(_SHARES, amounts, percents(amounts), strict=False)
    shown = [
        words.label(f"kind_{kind}", percent=share) for kind, amount, share in shares if amount or kind == "transcribed"
    ]
    return ", ".join([*shown, words.label("kind_lost", seconds=seconds(totals.lost))])


def _accounted_ms(one: ParticipantCoverage) -> int:
    return int(sum(dataclasses.astuple(one.coverage_ms))) + one.absent_ms


def _sum(totals: Sequence[CoverageTotals]) -> CoverageTotals:
    return CoverageTotals(*(sum(column) for column in zip(*map(dataclasses.astuple, totals), strict=True)))


def seconds(milliseconds: int) -> str:
    """Tenths of a second, rounded up: a lost millisecond never reads as nothing lost."""
    return f"{-(-milliseconds // 100) / 10:.1f}"
