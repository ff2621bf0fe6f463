"""Fences and parts: what was acknowledged by anybody is there for everybody after, and nobody else's word counts."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from services.ingest.errors import Fenced
from services.ingest.journal.fence import Fence, epochs, meeting_directories, remove_journals, remove_leftovers
from services.ingest.journal.journal import Journal
from services.ingest.journal.part import Part, has_journals
from services.ingest.journal.record import Record, RecordKind
from services.ingest.pulse import Pulse


def record(sequence: int, size: int = 20) -> Record:
    return Record(sequence, RecordKind.AUDIO, 1, sequence.to_bytes(4, "little") * size)


def opened(directory: Path, *, beyond: int = 0) -> tuple[Journal, list[int]]:
    """Take a meeting up and return its journal with the numbers of the records in it."""
    found: list[int] = []

    def replay(each: Record, offset: int) -> bool:
        found.append(each.sequence)
        return True

    return Journal.open("s", Fence.take(directory, beyond=beyond), replay, Pulse()), found


async def acknowledged(journal: Journal, *records: Record) -> None:
    """Append and wait until all of it is durable.

    Raises:
        Fenced, JournalFailed: it will not be.
    """
    for each in records:
        journal.append(each)
    committing = asyncio.create_task(journal.commit_forever(0))
    try:
        await journal.durable(journal.end_offset)
    finally:
        committing.cancel()
        await asyncio.wait([committing])
        committing.cancelled() or committing.exception()


def test_a_meeting_is_taken_up_once_by_each_fence(tmp_path: Path) -> None:
    directory = tmp_path / "tenant" / "meeting"
    first, second = Fence.take(directory), Fence.take(directory)
    assert (first.epoch, second.epoch) == (1, 2)
    second.check()
    with pytest.raises(Fenced):
        first.check()


def test_the_next_fence_is_beyond_what_the_database_knows_and_leaves_no_gap(tmp_path: Path) -> None:
    directory = tmp_path / "tenant" / "meeting"
    assert Fence.take(directory, beyond=4).epoch == 5
    old = Fence(directory, 5)
    assert Fence.take(directory, beyond=8).epoch == 9
    assert sorted(epochs(directory)) == [5, 6, 7, 8, 9]
    with pytest.raises(Fenced):
        old.check()


def test_of_many_who_try_at_once_each_epoch_has_one(tmp_path: Path) -> None:
    def take(_: int) -> int:
        while True:
            with suppress(Fenced):
                return Fence.take(tmp_path / "meeting").epoch

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(take, range(40))) == list(range(1, 41))


async def test_a_journal_that_was_given_up_takes_nothing_any_more(tmp_path: Path) -> None:
    directory = tmp_path / "tenant" / "meeting"
    writing, _ = opened(directory)
    await acknowledged(writing, record(1))
    untouched, _ = opened(directory)
    remove_journals(tmp_path, directory)
    assert not directory.exists()
    for journal in (writing, untouched):
        with pytest.raises(Fenced):
            await acknowledged(journal, record(2))
        journal.close()
    assert list(meeting_directories(tmp_path)) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    remove_journals(tmp_path, directory)


def test_what_a_crash_left_of_a_removal_is_swept_and_never_taken_for_a_meeting(tmp_path: Path) -> None:
    left = tmp_path / ".removed" / "meeting.x"
    left.mkdir(parents=True)
    (left / "s.1.journal").write_bytes(b"agentj2\n")
    assert list(meeting_directories(tmp_path)) == []
    remove_leftovers(tmp_path)
    assert not left.exists()


async def test_nothing_is_written_before_there_is_something_to_write(tmp_path: Path) -> None:
    journal, _ = opened(tmp_path / "m")
    assert not has_journals(tmp_path / "m")
    journal.close()


async def test_a_part_that_lost_what_a_later_one_builds_on_is_named(tmp_path: Path) -> None:
    first, _ = opened(tmp_path / "m")
    await acknowledged(first, record(1), record(2))
    second, _ = opened(tmp_path / "m")
    await acknowledged(second, record(3))
    path = tmp_path / "m" / "s.1.journal"
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(OSError, match="has lost what was written"):
        opened(tmp_path / "m")
    path.unlink()
    with pytest.raises(OSError, match="part 1 of s"):
        opened(tmp_path / "m")
    for journal in (first, second):
        journal.close()


async def test_reading_goes_on_from_part_to_part(tmp_path: Path) -> None:
    for sequence in range(1, 40):
        journal, found = opened(tmp_path / "m")
        assert found == list(range(1, sequence))
        await acknowledged(journal, record(sequence, 40_000))
        assert [each.sequence for each in journal.durable_records(1)] == [*found, sequence]
        journal.close()


async def test_a_write_that_was_frozen_before_its_look_at_the_fence_is_not_acknowledged_and_not_lost_sight_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one order of events that decides: write, sync, frozen, taken over, look."""
    old, _ = opened(tmp_path / "m")
    await acknowledged(old, record(1))
    real = Part.write
    heir: list[tuple[Journal, list[int]]] = []

    def frozen(self: Part, data: bytes) -> None:
        real(self, data)
        monkeypatch.setattr(Part, "write", real)
        heir.append(opened(tmp_path / "m"))

    monkeypatch.setattr(Part, "write", frozen)
    with pytest.raises(Fenced):
        await acknowledged(old, record(2))
    assert old.durable_sequence == 1
    journal, found = heir[0]
    assert found == [1, 2], "it was on disk before the fence was made"
    await acknowledged(journal, record(3))
    again, found = opened(tmp_path / "m")
    assert found == [1, 2, 3]
    for each in (old, journal, again):
        each.close()
