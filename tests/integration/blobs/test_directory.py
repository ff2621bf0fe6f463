"""What only a directory promises: order of syncs, privacy, nothing left behind."""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kit.blobs import open_blobs
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


async def test_an_interrupted_write_leaves_no_part_of_it(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"new" * 1_000_000
        raise ConnectionError("the source is gone")

    async with open_blobs("local_fs", tmp_path) as blobs:
        with pytest.raises(ConnectionError):
            await blobs.put(KEY, broken())
        assert list((tmp_path / ".incoming").iterdir()) == []


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


async def test_the_directory_is_for_us_alone(tmp_path: Path) -> None:
    async with open_blobs("local_fs", tmp_path / "blobs") as blobs:
        await blobs.put(KEY, b"x")
    assert stat.S_IMODE((tmp_path / "blobs").stat().st_mode) == 0o700


async def test_deleted_blobs_leave_no_directories(tmp_path: Path) -> None:
    async with open_blobs("local_fs", tmp_path) as blobs:
        await asyncio.gather(*(blobs.put(f"audio/acme/{number}/s/1.flac", b"x") for number in range(20)))
        await asyncio.gather(
            *(blobs.delete(f"audio/acme/{number}/s/1.flac") for number in range(20)),
            *(blobs.put(f"audio/acme/{number}/s/2.flac", b"x") for number in range(10)),
        )
        assert sorted(path.name for path in (tmp_path / "audio/acme").iterdir()) == sorted(map(str, range(10)))
        assert await blobs.delete_below("audio") == 10
        assert not (tmp_path / "audio").exists()


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


async def test_a_directory_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="the blob store cannot use"):
        await open_blobs("local_fs", tmp_path / "file").__aenter__()


async def test_a_store_that_must_not_be_used_here_is_never_well(tmp_path: Path) -> None:
    async with open_blobs("local_fs", tmp_path, refusal="STORAGE_MODE=local_fs is not allowed") as blobs:
        assert (await blobs.check_health()).error == "STORAGE_MODE=local_fs is not allowed"
