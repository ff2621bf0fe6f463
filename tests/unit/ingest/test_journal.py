"""The journal: what it said is durable is there after any crash, what was torn is cut, nothing else is touched."""

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.errors import JournalFailed
from services.ingest.journal.fence import Fence
from services.ingest.journal.journal import Journal, JournalReader
from services.ingest.journal.part import HEADER_BYTES, MAGIC, PartHeader, session_ids
from services.ingest.journal.record import HEADER, Record, RecordKind, decode
from services.ingest.pulse import Pulse

FIRST = PartHeader(1, 0, 0).encode()


def open_journal(directory: Path) -> tuple[Journal, list[Record], Pulse]:
    """Take a meeting up, open the journal of its session `s` and return the records found in it."""
    found: list[Record] = []

    def replay(record: Record, offset: int) -> bool:
        found.append(record)
        return True

    pulse = Pulse()
    return Journal.open("s", Fence.take(directory), replay, pulse), found, pulse


def first_part(directory: Path) -> Path:
    return directory / "s.1.journal"


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
@settings(max_examples=50, deadline=None)
def test_a_file_cut_anywhere_keeps_every_record_that_is_whole(
    tmp_path_factory: pytest.TempPathFactory, written: list[Record], data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    path = first_part(directory)
    encoded = [record.encode() for record in written]
    whole = FIRST + b"".join(encoded)
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])

    journal, found, _ = open_journal(directory)
    journal.close()

    ends, position = [], len(FIRST)
    for one in encoded:
        position += len(one)
        ends.append(position)
    expected = [record for record, end in zip(written, ends, strict=True) if end <= cut]
    assert found == expected
    assert journal.end_offset == sum(map(len, encoded[: len(expected)]))
    assert path.read_bytes() == whole[:cut], "what another owner wrote is not touched"


@given(records.filter(bool), st.data())
@settings(max_examples=50, deadline=None)
def test_a_tail_of_other_bytes_is_not_part_of_the_journal(
    tmp_path_factory: pytest.TempPathFactory, written: list[Record], data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    path = first_part(directory)
    encoded = b"".join(record.encode() for record in written)
    tail = data.draw(st.one_of(st.binary(min_size=1, max_size=100), st.integers(1, 9000).map(bytes)))
    if decode(tail) is not None:
        return
    path.write_bytes(FIRST + encoded + tail)

    journal, found, _ = open_journal(directory)
    journal.close()

    assert found == written
    assert journal.end_offset == len(encoded)


@given(records.filter(bool), st.data())
@settings(max_examples=50, deadline=None)
def test_a_flipped_bit_never_passes_for_a_record(
    tmp_path_factory: pytest.TempPathFactory, written: list[Record], data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    path = first_part(directory)
    content = bytearray(FIRST + b"".join(record.encode() for record in written))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)

    if place < len(MAGIC):
        with pytest.raises(OSError, match="not a journal"):
            open_journal(directory)
        return
    journal, found, _ = open_journal(directory)
    journal.close()

    assert found == written[: len(found)]
    assert len(found) < len(written)


async def test_nothing_is_durable_before_it_can_be_read_from_the_file(tmp_path: Path) -> None:
    journal, _, _ = open_journal(tmp_path / "m")
    async with committing(journal):
        for sequence in range(1, 200):
            journal.append(audio(sequence, os.urandom(500)))
            if sequence % 7 == 0:
                await asyncio.sleep(0)
            promised = journal.durable_sequence
            again, found, _ = open_journal_copy(tmp_path)
            again.close()
            assert [record.sequence for record in found][:promised] == list(range(1, promised + 1))
        await journal.durable(journal.end_offset)
    journal.close()


def open_journal_copy(directory: Path) -> tuple[Journal, list[Record], Pulse]:
    shutil.rmtree(directory / "copy", ignore_errors=True)
    shutil.copytree(directory / "m", directory / "copy")
    return open_journal(directory / "copy")


async def test_commits_are_grouped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, _, _ = open_journal(tmp_path / "m")
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
    journal, _, _ = open_journal(tmp_path / "m")
    async with committing(journal, interval_seconds=5):
        journal.append(audio(1))
        await journal.durable(journal.end_offset)
        journal.append(audio(2))
    journal.close()
    again, found, _ = open_journal(tmp_path / "m")
    again.close()
    assert [record.sequence for record in found] == [1, 2]


async def test_a_full_disk_is_waited_for_with_nothing_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, _, pulse = open_journal(tmp_path / "m")
    monkeypatch.setattr("services.ingest.journal.journal._FULL_RETRY_SECONDS", 0.01)
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
    again, found, _ = open_journal(tmp_path / "m")
    again.close()
    assert [record.payload for record in found] == [b"first", b"second"]


async def test_a_broken_disk_fails_the_journal_and_everyone_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, _, _ = open_journal(tmp_path / "m")

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
    journal, _, pulse = open_journal(tmp_path / "m")
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
    journal, _, pulse = open_journal(tmp_path / "m")
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
    journal, _, pulse = open_journal(tmp_path / "m")
    async with committing(journal):
        start = journal.append(audio(1, b"x" * 100))
        await journal.durable(journal.end_offset)
        with first_part(tmp_path / "m").open("r+b") as file:
            file.seek(HEADER_BYTES + start + HEADER.size + 5)
            file.write(b"y")
        with pytest.raises(JournalFailed):
            await JournalReader(journal, pulse, 1, start).next()
    journal.close()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.1.journal", b"something else entirely"),
        ("s.journal", b"agentj1\n"),
        ("s.2.journal", b"agentj1\n" + bytes(99)),
    ],
)
def test_a_file_that_is_no_journal_of_this_release_is_left_alone_and_named(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(OSError, match=f"not a journal of this release: '.*{name}'"):
        session_ids(tmp_path) and open_journal(tmp_path)
    assert path.read_bytes() == content
