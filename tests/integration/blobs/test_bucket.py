"""What only a bucket needs: nothing left of uploads, and faults that are named."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kit.blobs import BlobsUnavailable, open_blobs
from kit.lifecycle import StartError
from tests.fakes.s3_server import SECRET, S3Server, serving_s3

KEY = "audio/acme/1/s/1.flac"


@pytest.fixture
def server() -> Iterator[S3Server]:
    with serving_s3() as running:
        yield running


async def test_blobs_lie_below_the_prefix(server: S3Server, tmp_path: Path) -> None:
    async with open_blobs("s3", tmp_path, bucket=server.place(prefix="mesh/one")) as blobs:
        await blobs.put(KEY, b"x")
        assert [each["path"] for batch in server.store().list() for each in batch] == [f"mesh/one/{KEY}"]
    async with open_blobs("s3", tmp_path, bucket=server.place(prefix="mesh/two")) as blobs:
        assert [blob async for blob in blobs.list()] == []
    assert list(tmp_path.iterdir()) == []


async def test_an_upload_that_ends_early_leaves_no_parts(server: S3Server, tmp_path: Path) -> None:
    waiting = asyncio.Event()

    async def source(fails: bool) -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(1_000_000)
        if fails:
            raise ConnectionError("the source is gone")
        waiting.set()
        await asyncio.Event().wait()

    async with open_blobs("s3", tmp_path, bucket=server.place()) as blobs:
        with pytest.raises(ConnectionError):
            await blobs.put(KEY, source(True))
        writing = asyncio.create_task(blobs.put(KEY, source(False)))
        await waiting.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert server.uploads() == 0
        assert not await blobs.exists(KEY)


async def test_a_bucket_that_is_not_there_stops_the_start(server: S3Server, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"s3://elsewhere/mesh/one .* the bucket does not exist; check STORAGE_S3_"):
        await open_blobs("s3", tmp_path, bucket=server.place(name="elsewhere")).__aenter__()


async def test_a_wrong_key_stops_the_start_and_is_not_shown(server: S3Server, tmp_path: Path) -> None:
    server.check_keys()
    with pytest.raises(StartError, match=r"the bucket refuses us \(InvalidAccessKeyId\)") as refused:
        await open_blobs("s3", tmp_path, bucket=server.place()).__aenter__()
    assert SECRET not in str(refused.value)
    assert SECRET not in repr(server.place())


async def test_a_server_that_is_away_is_waited_for(server: S3Server, tmp_path: Path) -> None:
    async with open_blobs("s3", tmp_path, bucket=server.place(endpoint="http://127.0.0.1:1")) as blobs:
        health = await blobs.check_health(timeout_seconds=30)
        assert not health.ok
        assert health.error
        with pytest.raises(BlobsUnavailable):
            await blobs.get(KEY)
        with pytest.raises(OSError):
            [blob async for blob in blobs.list("audio")]


async def test_a_bucket_that_goes_away_is_told_from_a_missing_blob(server: S3Server, tmp_path: Path) -> None:
    async with open_blobs("s3", tmp_path, bucket=server.place()) as blobs:
        assert (await blobs.check_health()).ok
        server.drop_bucket()
        assert (await blobs.check_health()).ok, "a good outcome is good for half a minute"
        assert "the bucket does not exist" in (await blobs.check_health(fresh=True)).error
        with pytest.raises(BlobsUnavailable):
            await blobs.put(KEY, b"x")
