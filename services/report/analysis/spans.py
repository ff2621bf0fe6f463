"""Spans of time: unions and overlaps of (start_ms, end_ms) pairs."""

from __future__ import annotations

from collections.abc import Iterable

Span = tuple[int, int]


def union(spans: Iterable[Span]) -> list[Span]:
    """The time that any of the spans covers, as disjoint spans in order."""
    joined: list[Span] = []
    for start, end in sorted(span for span in spans if span[1] > span[0]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def length_ms(spans: Iterable[Span]) -> int:
    """Sum of the lengths of disjoint spans."""
    return sum(end - start for start, end in spans)


def overlap_ms(groups: Iterable[Iterable[Span]]) -> int:
    """Time that two or more groups of disjoint spans share."""
    edges = sorted((edge, step) for spans in groups for span in spans for edge, step in zip(span, (1, -1), strict=True))
    depth, last, shared = 0, 0, 0
    for edge, step in edges:
        if depth > 1:
            shared += edge - last
        depth, last = depth + step, edge
    return shared
