"""Opening a blob store: by its settings, with what is wrong said at the start."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kit.blobs.bucket import Bucket, BucketStore, refused
from kit.blobs.directory import DirectoryStore, prepare
from kit.blobs.store import BlobStore, BlobsUnavailable
from kit.lifecycle import StartError
from kit.settings.sections import CoreSettings
from kit.settings.storage import StorageSettings
from kit.telemetry import logs

_ACCESS_SECONDS = 20.0

log = logs.get()


@asynccontextmanager
async def open_storage(settings: StorageSettings, core: CoreSettings) -> AsyncIterator[BlobStore]:
    """Keep the store of the settings for the block; raises as `open_blobs`."""
    bucket = None
    if settings.storage_mode == "s3":
        secret = settings.storage_s3_secret_access_key
        bucket = Bucket(
            name=settings.storage_s3_bucket,
            endpoint=settings.storage_s3_endpoint,
            region=settings.storage_s3_region,
            prefix=settings.storage_s3_prefix,
            access_key_id=settings.storage_s3_access_key_id,
            secret_access_key=secret.get_secret_value() if secret else "",
        )
    async with open_blobs(
        settings.storage_mode,
        settings.directory(core.agent_data_dir),
        bucket=bucket,
        refusal=settings.refusal(is_prod=core.is_prod),
    ) as blobs:
        yield blobs


@asynccontextmanager
async def open_blobs(
    mode: str, path: Path, *, bucket: Bucket | None = None, refusal: str = ""
) -> AsyncIterator[BlobStore]:
    """Keep a store for the block.

    Args:
        mode: "local_fs" or "shared_fs", a directory of this machine or one that all nodes see, or "s3".
        path: the directory; made, for us alone, when missing. Not used with "s3".
        bucket: for "s3".
        refusal: why this store must not be used here, for its health; empty: it may.

    Raises:
        StartError: the directory cannot be used; the bucket does not exist or refuses us. A bucket that does not
            answer is waited for: its health says so.
    """
    if mode == "s3":
        if bucket is None:
            raise StartError("STORAGE_S3_BUCKET: STORAGE_MODE=s3 needs the name of a bucket")
        yield await _opened(bucket, refusal)
        return
    path = path.absolute()
    try:
        await asyncio.to_thread(prepare, path)
    except OSError as error:
        raise StartError(f"the blob store cannot use {path}: {error.strerror or error}") from error
    yield DirectoryStore(mode, path, refusal)


async def _opened(bucket: Bucket, refusal: str) -> BucketStore:
    blobs = BucketStore(bucket, refusal)
    try:
        async with asyncio.timeout(_ACCESS_SECONDS):
            await blobs.put("probe/start", b"")
            await blobs.delete("probe/start")
    except BlobsUnavailable as error:
        if refused(error):
            raise StartError(
                f"the blob store cannot use {bucket.location}: {error.message}; check STORAGE_S3_BUCKET, "
                "STORAGE_S3_ENDPOINT, STORAGE_S3_REGION, STORAGE_S3_ACCESS_KEY_ID and STORAGE_S3_SECRET_ACCESS_KEY"
            ) from error
        log.warning("storage_unavailable", location=bucket.location, error=error.message)
    except TimeoutError:
        log.warning("storage_unavailable", location=bucket.location, error="no answer")
    return blobs
