"""The blob store on a real directory."""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kit.blobs import BlobNotFound, open_blobs
from kit.errors import InvalidArgument
from kit.lifecycle import StartError

KEY = "meetings/0190-a/report.v1.json"

# Says what it syncs and renames, in order.
TRACED = """
import asyncio, os, sys
from pathlib import Path
from kit.blobs import open_blobs

fsync, replace = os.fsync, Path.replace

def traced_fsync(descriptor):
    print("sync", os.readlink(f"/proc/self/fd/{descriptor}"))
    fsync(descriptor)

def traced_replace(path, target):
    print("name", target)
    return replace(path, target)

async def main():
    async with open_blobs("local_fs", Path(sys.argv[1])) as blobs:
        os.fsync, Path.replace = traced_fsync, traced_replace
        await blobs.put("a/b/c", b"x")
        print("answer")

asyncio.run(main())
"""


async def test_a_blob_comes_back_as_it_was_and_is_gone_when_deleted(tmp_path: Path) -> None:
    async with open_blobs("local_fs", tmp_path / "blobs") as blobs:
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
            await anext(blobs.stream(KEY))


async def test_a_long_blob_is_written_and_read_in_pieces(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(40):
            yield bytes([number]) * 300_000

    async with open_blobs("shared_fs", tmp_path) as blobs:
        assert await blobs.put("long.flac", pieces()) == 12_000_000
        read = [piece async for piece in blobs.stream("long.flac")]
        assert len(read) > 1
        assert b"".join(read) == b"".join([piece async for piece in pieces()])


async def test_an_interrupted_write_leaves_the_old_blob_and_nothing_else(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"new" * 1_000_000
        raise ConnectionError("the source is gone")

    async with open_blobs("local_fs", tmp_path) as blobs:
        await blobs.put(KEY, b"old")
        with pytest.raises(Exception, match="the source is gone"):
            await blobs.put(KEY, broken())
        assert await blobs.get(KEY) == b"old"
        assert [blob.key async for blob in blobs.list()] == [KEY]
        assert list((tmp_path / ".incoming").iterdir()) == []


async def test_readers_see_the_old_blob_or_the_new_one_never_a_part(tmp_path: Path) -> None:
    versions = [bytes([number]) * 200_000 for number in range(10)]

    async def write() -> None:
        for version in versions:
            await blobs.put(KEY, version)

    async with open_blobs("local_fs", tmp_path) as blobs:
        await blobs.put(KEY, versions[0])
        writing = asyncio.create_task(write())
        while not writing.done():
            assert await blobs.get(KEY) in versions
        await writing


async def test_bytes_reach_the_disk_before_the_name_and_the_name_before_the_answer(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", TRACED, str(tmp_path),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    lines = (await process.communicate())[0].decode().splitlines()
    assert lines[0].startswith(f"sync {tmp_path}/.incoming/")
    assert lines[1] == f"name {tmp_path}/a/b/c"
    assert set(lines[2:-1]) == {f"sync {tmp_path}", f"sync {tmp_path}/a", f"sync {tmp_path}/a/b"}
    assert lines[-1] == "answer"


async def test_a_prefix_lists_what_is_below_it(tmp_path: Path) -> None:
    async with open_blobs("local_fs", tmp_path) as blobs:
        for key in ("meetings/1/a", "meetings/1/b", "meetings/10/a", "other"):
            await blobs.put(key, b"x")
        assert sorted([blob.key async for blob in blobs.list("meetings/1")]) == ["meetings/1/a", "meetings/1/b"]
        assert len([blob async for blob in blobs.list()]) == 4


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


async def test_the_directory_is_for_us_alone(tmp_path: Path) -> None:
    async with open_blobs("local_fs", tmp_path / "blobs") as blobs:
        await blobs.put(KEY, b"x")
    assert stat.S_IMODE((tmp_path / "blobs").stat().st_mode) == 0o700


async def test_health_says_what_is_wrong(tmp_path: Path) -> None:
    async with open_blobs("local_fs", tmp_path / "blobs") as blobs:
        health = await blobs.check_health()
        assert health.ok
        assert health.latency_ms >= 0
        assert [blob async for blob in blobs.list()] == []
        (tmp_path / "blobs" / ".incoming").rmdir()
        (tmp_path / "blobs" / ".incoming").write_text("in the way")
        health = await blobs.check_health()
        assert not health.ok
        assert health.error


async def test_a_mode_or_directory_that_cannot_work_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="STORAGE_MODE=s3 is not part of this release"):
        await open_blobs("s3", tmp_path).__aenter__()
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="the blob store cannot use"):
        await open_blobs("local_fs", tmp_path / "file").__aenter__()
