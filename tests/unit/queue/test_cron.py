"""Slots of time."""

from datetime import UTC, datetime, timedelta, timezone

from kit.queue.cron import slot_of


def test_a_slot_starts_at_a_multiple_of_its_length_whatever_the_zone() -> None:
    moment = datetime(2026, 3, 1, 12, 34, 56, tzinfo=timezone(timedelta(hours=3)))
    assert slot_of(moment, timedelta(hours=1)) == datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert slot_of(moment, timedelta(days=1)) == datetime(2026, 3, 1, tzinfo=UTC)
