"""The journal: what it said is durable is there after any crash, what was torn is cut, nothing else is touched."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.errors import JournalFailed
from services.ingest.journal import MAGIC, Journal, JournalReader
from services.ingest.pulse import Pulse
from services.ingest.record import HEADER, Record, RecordKind, decode


def open_journal(path: Path) -> tuple[Journal, list[Record], Pulse]:
    """Open a journal and return the records found in it."""
    found: list[Record] = []

    def replay(record: Record, offset: int) -> bool:
        found.append(record)
        return True

    pulse = Pulse()
    return Journal.open(path, replay, pulse), found, pulse


@asynccontextmanager
async def committing(journal: Journal, interval_seconds: float = 0.01) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(journal.commit_forever(interval_seconds))
        yield
        task.cancel()


def audio(sequence: int, payload: bytes = b"pcm", track: int = 1) -> Record:
    return Record(sequence, RecordKind.AUDIO, track, payload)


records = st.lists(
    st.builds(
        Record,
        sequence=st.integers(0, 2**64 - 1),
        kind=st.sampled_from(RecordKind),
        track=st.integers(0, 2**32 - 1),
        payload=st.binary(max_size=200),
    ),
    max_size=12,
)


@given(records, st.data())
@settings(max_examples=200, deadline=None)
def test_a_file_cut_anywhere_keeps_every_record_that_is_whole(
    tmp_path_factory: pytest.TempPathFactory, written: list[Record], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "s.journal"
    encoded = [record.encode() for record in written]
    whole = MAGIC + b"".join(encoded)
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])

    journal, found, _ = open_journal(path)
    journal.close()

    ends, position = [], len(MAGIC)
    for one in encoded:
        position += len(one)
        ends.append(position)
    expected = [record for record, end in zip(written, ends, strict=True) if end <= cut]
    assert found == expected
    assert path.read_bytes() == (MAGIC + b"".join(encoded[: len(expected)]))


@given(records.filter(bool), st.data())
@settings(max_examples=200, deadline=None)
def test_a_tail_of_other_bytes_is_cut_and_the_journal_goes_on(
    tmp_path_factory: pytest.TempPathFactory, written: list[Record], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "s.journal"
    encoded = b"".join(record.encode() for record in written)
    tail = data.draw(st.one_of(st.binary(min_size=1, max_size=100), st.integers(1, 9000).map(bytes)))
    if decode(tail) is not None:
        return
    path.write_bytes(MAGIC + encoded + tail)

    journal, found, _ = open_journal(path)
    journal.close()

    assert found == written
    assert path.read_bytes() == MAGIC + encoded


@given(records.filter(bool), st.data())
@settings(max_examples=200, deadline=None)
def test_a_flipped_bit_never_passes_for_a_record(
    tmp_path_factory: pytest.TempPathFactory, written: list[Record], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "s.journal"
    content = bytearray(MAGIC + b"".join(record.encode() for record in written))
    place = data.draw(st.integers(len(MAGIC), len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)

    journal, found, _ = open_journal(path)
    journal.close()

    assert found == written[: len(found)]
    assert len(found) < len(written)


async def test_nothing_is_durable_before_it_can_be_read_from_the_file(tmp_path: Path) -> None:
    journal, _, _ = open_journal(tmp_path / "s.journal")
    async with committing(journal):
        for sequence in range(1, 200):
            journal.append(audio(sequence, os.urandom(500)))
            if sequence % 7 == 0:
                await asyncio.sleep(0)
            promised = journal.durable_sequence
            again, found, _ = open_journal_copy(journal.path, tmp_path)
            again.close()
            assert [record.sequence for record in found][:promised] == list(range(1, promised + 1))
        await journal.durable(journal.end_offset)
    journal.close()


def open_journal_copy(path: Path, directory: Path) -> tuple[Journal, list[Record], Pulse]:
    copy = directory / "copy.journal"
    copy.write_bytes(path.read_bytes())
    return open_journal(copy)


async def test_commits_are_grouped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, _, _ = open_journal(tmp_path / "s.journal")
    syncs = 0
    real = os.fdatasync

    def counting(descriptor: int) -> None:
        nonlocal syncs
        syncs += 1
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", counting)
    async with committing(journal, interval_seconds=0.2):
        for sequence in range(1, 51):
            journal.append(audio(sequence))
            await asyncio.sleep(0.001)
        await journal.durable(journal.end_offset)
    journal.close()
    assert journal.durable_sequence == 50
    assert syncs <= 3


async def test_what_was_appended_is_on_disk_when_the_writer_is_cancelled(tmp_path: Path) -> None:
    journal, _, _ = open_journal(tmp_path / "s.journal")
    async with committing(journal, interval_seconds=5):
        journal.append(audio(1))
        await journal.durable(journal.end_offset)
        journal.append(audio(2))
    journal.close()
    again, found, _ = open_journal(tmp_path / "s.journal")
    again.close()
    assert [record.sequence for record in found] == [1, 2]


async def test_a_full_disk_is_waited_for_with_nothing_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, _, pulse = open_journal(tmp_path / "s.journal")
    monkeypatch.setattr("services.ingest.journal._FULL_RETRY_SECONDS", 0.01)
    full, real = True, os.pwrite

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        if full:
            real(descriptor, bytes(data)[:10], offset)  # a part may well get through
            raise OSError(errno.ENOSPC, "no space left on device")
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    async with committing(journal):
        journal.append(audio(1, b"first"))
        async with asyncio.timeout(5):
            while not journal.disk_full:
                await pulse.coming.wait()
        journal.append(audio(2, b"second"))
        assert journal.durable_sequence == 0
        full = False
        await journal.durable(journal.end_offset)
        assert not journal.disk_full
    journal.close()
    again, found, _ = open_journal(tmp_path / "s.journal")
    again.close()
    assert [record.payload for record in found] == [b"first", b"second"]


async def test_a_broken_disk_fails_the_journal_and_everyone_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, _, _ = open_journal(tmp_path / "s.journal")

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.RaisesGroup(JournalFailed):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(journal.commit_forever(0.01))
            offset = journal.append(audio(1))
            with pytest.raises(JournalFailed):
                await journal.durable(offset + 1)
    with pytest.raises(JournalFailed):
        journal.append(audio(2))
    journal.close()


async def test_a_reader_sees_its_track_and_the_session_only_and_waits_for_more(tmp_path: Path) -> None:
    journal, _, pulse = open_journal(tmp_path / "s.journal")
    async with committing(journal):
        start = journal.end_offset
        for sequence in range(1, 301):
            journal.append(audio(sequence, os.urandom(3_000), track=1 + sequence % 3))
        journal.append(Record(300, RecordKind.END, 0, b""))
        reader = JournalReader(journal, pulse, 2, start)
        seen: list[Record] = []
        async with asyncio.timeout(5):
            while not seen or seen[-1].kind is not RecordKind.END:
                seen += await reader.next()
        assert [record.sequence for record in seen] == [*range(1, 301, 3), 300]
        waiting = asyncio.create_task(reader.next())
        await asyncio.sleep(0)
        journal.append(audio(301, track=2))
        async with asyncio.timeout(5):
            assert [record.sequence for record in await waiting] == [301]
    journal.close()


async def test_a_record_longer_than_a_block_is_read_whole(tmp_path: Path) -> None:
    journal, _, pulse = open_journal(tmp_path / "s.journal")
    async with committing(journal):
        start = journal.end_offset
        payload = os.urandom(700_000)
        journal.append(audio(1, payload))
        reader = JournalReader(journal, pulse, 1, start)
        async with asyncio.timeout(5):
            (record,) = await reader.next()
        assert record.payload == payload
    journal.close()


async def test_a_disk_that_forgets_is_noticed(tmp_path: Path) -> None:
    journal, _, pulse = open_journal(tmp_path / "s.journal")
    async with committing(journal):
        start = journal.append(audio(1, b"x" * 100))
        await journal.durable(journal.end_offset)
        with journal.path.open("r+b") as file:
            file.seek(start + HEADER.size + 5)
            file.write(b"y")
        with pytest.raises(JournalFailed):
            await JournalReader(journal, pulse, 1, start).next()
    journal.close()


def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    path.write_bytes(b"something else entirely")
    with pytest.raises(OSError, match="not a journal"):
        open_journal(path)
    assert path.read_bytes() == b"something else entirely"
