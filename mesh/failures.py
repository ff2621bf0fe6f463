"""Failures of several tasks at once, taken apart."""

from __future__ import annotations

from typing import TypeVar

E = TypeVar("E", bound=BaseException)


def leaves(group: BaseExceptionGroup[E]) -> list[E]:
    """The failures themselves, in order, out of groups within groups; never empty."""
    found: list[E] = []
    for inner in group.exceptions:
        found += leaves(inner) if isinstance(inner, BaseExceptionGroup) else [inner]
    return found
