"""The acceptance check of every report, whoever wrote it: each quotation stands where it says it stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from services.report.document import Claim, Evidence, Report
from services.report.transcript import Segment


def verify(report: Report, segments: Iterable[Segment]) -> list[str]:
    """Walk the whole document and compare every quotation with the segments it was made from.

    Returns:
        One sentence per problem, naming the place in the document; empty if every claim holds.
    """
    by_id = {segment.segment_id: segment for segment in segments}
    problems = [problem for path, node in _walk(report, "report") for problem in _problems(path, node, by_id)]
    claims = [node.claim_id for _, node in _walk(report, "report") if isinstance(node, Claim)]
    problems += [
        f"report: claim {claim_id} occurs twice" for claim_id in sorted(set(claims)) if claims.count(claim_id) > 1
    ]
    return problems


def _problems(path: str, node: object, segments: Mapping[str, Segment]) -> Iterator[str]:
    if isinstance(node, Claim) and not node.evidence:
        yield f"{path}: no evidence"
    if not isinstance(node, Evidence):
        return
    segment = segments.get(node.segment_id)
    if segment is None:
        yield f"{path}: no segment {node.segment_id}"
        return
    if segment.text[node.char_start : node.char_end] != node.quote:
        yield f"{path}: the quote differs from segment {node.segment_id}"
    if node.participant_id != segment.participant_id:
        yield f"{path}: segment {node.segment_id} was spoken by another participant"
    if not segment.start_ms <= node.start_ms <= node.end_ms <= segment.end_ms:
        yield f"{path}: the times lie outside segment {node.segment_id}"


def _walk(node: object, path: str) -> Iterator[tuple[str, object]]:
    yield path, node
    if dataclasses.is_dataclass(node):
        for field in dataclasses.fields(node):
            yield from _walk(getattr(node, field.name), f"{path}.{field.name}")
    elif isinstance(node, tuple):
        for index, item in enumerate(node):
            yield from _walk(item, f"{path}[{index}]")
