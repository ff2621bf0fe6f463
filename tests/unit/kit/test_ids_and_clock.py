"""Identifiers sort by age; times are aware."""

import uuid

from kit.clock import monotonic, now
from kit.ids import new_id


def test_later_ids_sort_after_earlier_ones() -> None:
    ids = [new_id() for _ in range(100)]
    assert sorted(ids) == ids
    assert len(set(ids)) == 100
    assert uuid.UUID(ids[0]).version == 7


def test_times_are_in_utc_and_never_go_back() -> None:
    assert now().utcoffset() is not None
    assert monotonic() <= monotonic()
