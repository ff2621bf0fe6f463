"""What every blob store promises, on real directories and a real S3 server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import pytest

from kit.blobs import BlobNotFound, BlobStore, open_blobs
from kit.blobs.store import HEALTH
from kit.errors import InvalidArgument
from tests.fakes.s3_server import serving_s3

KEY = "meetings/0190-a/report.v1.json"


class Opening(Protocol):
    """Opens the store that a test is about."""

    def __call__(self) -> AbstractAsyncContextManager[BlobStore]: ...


@pytest.fixture(params=["local_fs", "shared_fs", "s3"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opening]:
    if request.param != "s3":
        yield lambda: open_blobs(request.param, tmp_path / "blobs")
        return
    with serving_s3() as server:
        yield lambda: open_blobs("s3", tmp_path, bucket=server.place())


async def test_a_blob_comes_back_as_it_was_and_is_gone_when_deleted(opening: Opening) -> None:
    async with opening() as blobs:
        assert await blobs.put(KEY, b"text") == 4
        assert await blobs.get(KEY) == b"text"
        assert await blobs.exists(KEY)
        assert (await blobs.describe(KEY)).size_bytes == 4
        await blobs.delete(KEY)
        await blobs.delete(KEY)
        assert not await blobs.exists(KEY)
        with pytest.raises(BlobNotFound) as missing:
            await blobs.get(KEY)
        assert missing.value.metadata == {"key": KEY}
        with pytest.raises(BlobNotFound):
            await anext(aiter(blobs.stream(KEY)))
        with pytest.raises(BlobNotFound):
            await asyncio.to_thread(blobs.open_reader, KEY)


async def test_an_empty_blob_is_one(opening: Opening) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        for piece in list[bytes]():
            yield piece

    async with opening() as blobs:
        for data in (b"", nothing()):
            assert await blobs.put(KEY, data) == 0
            assert await blobs.get(KEY) == b""
            assert [piece async for piece in blobs.stream(KEY)] in ([], [b""])


async def test_a_long_blob_is_written_and_read_in_pieces(opening: Opening) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(70):
            yield bytes([number]) * 300_000

    whole = b"".join([piece async for piece in pieces()])
    async with opening() as blobs:
        assert await blobs.put("long.flac", pieces()) == len(whole)
        read = [piece async for piece in blobs.stream("long.flac")]
        assert len(read) > 1
        assert b"".join(read) == whole
        assert await blobs.put("long.bin", whole) == len(whole)
        assert await blobs.get("long.bin") == whole


async def test_a_reader_reads_on_and_seeks(opening: Opening) -> None:
    content = bytes(range(256)) * 8_000

    def read() -> tuple[bytes, bytes, int, bytes, bytes]:
        reader = blobs.open_reader(KEY)
        try:
            first, then = reader.read(1_000), reader.read(500_000)
            return first, then, reader.seek(-10, 2), reader.read(20), reader.read(20)
        finally:
            reader.close()

    async with opening() as blobs:
        await blobs.put(KEY, content)
        first, then, place, last, beyond = await asyncio.to_thread(read)
        assert first == content[:1_000]
        assert then == content[1_000 : 1_000 + len(then)]
        assert place == len(content) - 10
        assert last == content[-10:]
        assert beyond == b""


async def test_an_interrupted_write_leaves_the_old_blob_and_nothing_else(opening: Opening) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"new" * 1_000_000
        raise ConnectionError("the source is gone")

    async with opening() as blobs:
        await blobs.put(KEY, b"old")
        with pytest.raises(ConnectionError, match="the source is gone"):
            await blobs.put(KEY, broken())
        assert await blobs.get(KEY) == b"old"
        assert [blob.key async for blob in blobs.list()] == [KEY]


async def test_a_cancelled_write_leaves_the_old_blob_and_nothing_else(opening: Opening) -> None:
    waiting = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"new" * 1_000_000
        waiting.set()
        await asyncio.Event().wait()

    async with opening() as blobs:
        await blobs.put(KEY, b"old")
        writing = asyncio.create_task(blobs.put(KEY, endless()))
        await waiting.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert await blobs.get(KEY) == b"old"
        assert [blob.key async for blob in blobs.list()] == [KEY]


async def test_readers_see_the_old_blob_or_the_new_one_never_a_part(opening: Opening) -> None:
    versions = [bytes([number]) * 200_000 for number in range(10)]

    async def write() -> None:
        for version in versions:
            await blobs.put(KEY, version)

    async with opening() as blobs:
        await blobs.put(KEY, versions[0])
        writing = asyncio.create_task(write())
        while not writing.done():
            assert await blobs.get(KEY) in versions
        await writing


async def test_a_prefix_lists_and_deletes_what_is_below_it(opening: Opening) -> None:
    async with opening() as blobs:
        for key in ("meetings/1/a", "meetings/1/b", "meetings/10/a", "other"):
            await blobs.put(key, b"x")
        assert sorted([blob.key async for blob in blobs.list("meetings/1")]) == ["meetings/1/a", "meetings/1/b"]
        assert len([blob async for blob in blobs.list()]) == 4
        assert await blobs.delete_below("meetings/1") == 2
        assert await blobs.delete_below("meetings/1") == 0
        assert sorted([blob.key async for blob in blobs.list()]) == ["meetings/10/a", "other"]


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../up", "a/../b", "a//b", "a/", ".incoming/x", "a/.b", "имя", "a b", "a\n"]
)
async def test_a_key_that_could_lead_elsewhere_is_refused(tmp_path: Path, key: str) -> None:
    async with open_blobs("local_fs", tmp_path) as blobs:
        for action in (blobs.get, blobs.delete, blobs.exists):
            with pytest.raises(InvalidArgument):
                await action(key)
        with pytest.raises(InvalidArgument):
            await blobs.put(key, b"x")


async def test_a_store_that_works_is_well_and_holds_no_probe(opening: Opening) -> None:
    async with opening() as blobs:
        health = await blobs.check_health()
        assert health.ok
        assert health.latency_ms >= 0
        assert [blob async for blob in blobs.list()] == []
        assert HEALTH.labels(blobs.mode)._value.get() == 1.0
