"""Blobs in a bucket: AWS S3, MinIO, Ceph, Garage and whatever else speaks S3."""

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, PreconditionError, UnauthenticatedError
from obstore.store import S3Store

from kit.blobs.store import PIECE_BYTES, BlobInfo, BlobNotFound, BlobReader, BlobStore, BlobsUnavailable, checked

_PART_BYTES = 8 << 20
"""Blobs up to this size are one request; longer ones go in parts of it, with four under way."""
_READ_BYTES = 4 << 20
_READER_BYTES = 256 << 10
_REQUEST_SECONDS = 60.0
_CONNECT_SECONDS = 5.0
_RETRIES = 4
_RETRY_SECONDS = 90.0
_ABORT_SECONDS = 15.0
_CODE = re.compile(r"<Code>(\w+)</Code>")
_BUCKET_UNKNOWN = "NoSuchBucket"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where a bucket is and who we are to it; empty credentials are looked for where AWS's own tools look."""

    name: str
    endpoint: str = ""
    """`http://host:port` of a server of one's own; empty for AWS."""
    region: str = "us-east-1"
    prefix: str = ""
    """Before every key; no slash at either end."""
    access_key_id: str = ""
    secret_access_key: str = ""

    @property
    def location(self) -> str:
        """The bucket for people: `s3://name/prefix at endpoint`."""
        path = "/".join(part for part in (self.name, self.prefix) if part)
        return f"s3://{path}" + (f" at {self.endpoint}" if self.endpoint else "")

    def __repr__(self) -> str:
        return f"Bucket({self.location})"


class BucketStore(BlobStore):
    """A bucket. Requests have a time limit and are tried again a few times; an upload is whole or does not show."""

    _probe_seconds = 30.0

    def __init__(self, bucket: Bucket, refusal: str = "") -> None:
        super().__init__("s3", bucket.location, refusal)
        self._store = _open(bucket)

    async def put(self, key: str, data: bytes | AsyncIterable[bytes]) -> int:
        checked(key)
        if isinstance(data, bytes) and len(data) <= _PART_BYTES:
            with _told(key):
                await self._store.put_async(key, data, use_multipart=False)
            return len(data)
        source = _Source(_parts(data) if isinstance(data, bytes) else data)
        with _told(key):
            # An upload that is merely dropped stays at the server, unseen and paid for. One whose source fails is
            # taken back, so that is how ours ends when the caller is cancelled.
            putting = asyncio.ensure_future(_whole(self._store.put_async(key, source, chunk_size=_PART_BYTES)))
            try:
                await asyncio.shield(putting)
            except asyncio.CancelledError:
                source.stop()
                await asyncio.wait([putting], timeout=_ABORT_SECONDS)
                putting.cancel()
                raise
            except BaseException:
                if source.failure is not None:
                    raise source.failure from None
                raise
        return source.size

    async def get(self, key: str) -> bytes:
        with _told(checked(key)):
            answer = await self._store.get_async(key)
            return bytes(await answer.bytes_async())

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        # Request by request: the time limit is for one of them, and whoever reads may be slow.
        with _told(checked(key)):
            meta = await self._store.head_async(key)
        for start in range(0, meta["size"], _READ_BYTES):
            end = min(start + _READ_BYTES, meta["size"])
            options: dict[str, Any] = {"range": (start, end), "if_match": meta["e_tag"]}
            with _told(key):
                answer = await self._store.get_async(key, options=options)  # type: ignore[arg-type]
                data = bytes(await answer.bytes_async())
            for offset in range(0, len(data), PIECE_BYTES):
                yield data[offset : offset + PIECE_BYTES]

    def open_reader(self, key: str) -> BlobReader:
        with _told(checked(key)):
            return _Reader(key, obstore.open_reader(self._store, key, buffer_size=_READER_BYTES))

    async def describe(self, key: str) -> BlobInfo:
        with _told(checked(key)):
            meta = await self._store.head_async(key)
        return BlobInfo(key, meta["size"], meta["last_modified"])

    async def delete(self, key: str) -> None:
        checked(key)
        try:
            with _told(key):
                await self._store.delete_async(key)
        except BlobNotFound:  # some servers say so
            return

    async def list(self, prefix: str = "") -> AsyncIterator[BlobInfo]:
        batches = self._store.list(checked(prefix) if prefix else None).__aiter__()
        while True:
            with _told(prefix):
                try:
                    batch = await anext(batches)
                except StopAsyncIteration:
                    return
            for meta in batch:
                yield BlobInfo(meta["path"], meta["size"], meta["last_modified"])


class _Reader:
    """An object as a file, read ahead by what obstore buffers."""

    def __init__(self, key: str, file: Any) -> None:
        self._key = key
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        with _told(self._key):
            return bytes(self._file.read(None if size < 0 else size))

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()


class _Source:
    """What is being uploaded: counted, and stopped from outside even while it makes us wait."""

    def __init__(self, data: AsyncIterable[bytes]) -> None:
        self.size = 0
        self.failure: Exception | None = None
        """What the data raised."""
        self._data = aiter(data)
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End the upload without a blob."""
        self._stopped.set()

    def __aiter__(self) -> "_Source":
        return self

    async def __anext__(self) -> bytes:
        next_piece = asyncio.ensure_future(_whole(anext(self._data, None)))
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({next_piece, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not next_piece.done():
                raise ConnectionAbortedError("the upload was called off")
            piece = next_piece.result()
        except Exception as failure:
            self.failure = failure
            raise
        finally:
            next_piece.cancel()
            stopped.cancel()
        if piece is None:
            raise StopAsyncIteration
        self.size += len(piece)
        return piece


def _open(bucket: Bucket) -> S3Store:
    config: dict[str, Any] = {"region": bucket.region, "virtual_hosted_style_request": not bucket.endpoint}
    if bucket.endpoint:
        config["endpoint"] = bucket.endpoint
    if bucket.access_key_id:
        config |= {"access_key_id": bucket.access_key_id, "secret_access_key": bucket.secret_access_key}
    return S3Store(
        bucket.name,
        prefix=bucket.prefix or None,
        config=config,  # type: ignore[arg-type]
        client_options={
            "allow_http": bucket.endpoint.startswith("http://"),
            "timeout": timedelta(seconds=_REQUEST_SECONDS),
            "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
        },
        retry_config={
            "max_retries": _RETRIES,
            "retry_timeout": timedelta(seconds=_RETRY_SECONDS),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=5),
                "base": 2,
            },
        },
    )


@contextmanager
def _told(key: str) -> Iterator[None]:
    """Turn what the library raises into what the interface documents."""
    try:
        yield
    except FileNotFoundError as error:
        if _BUCKET_UNKNOWN in str(error):
            raise BlobsUnavailable("the bucket does not exist") from error
        raise BlobNotFound(key=key) from None
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise BlobsUnavailable(f"the bucket refuses us ({_code(error)})") from error
    except PreconditionError as error:
        raise BlobsUnavailable("the blob was replaced while it was read; read it again") from error
    except BaseError as error:
        raise BlobsUnavailable(f"the bucket does not answer as it should ({_code(error)})") from error


def refused(error: BlobsUnavailable) -> bool:
    """Return whether an error will be the same tomorrow: no such bucket, or wrong credentials."""
    cause = error.__cause__
    return isinstance(cause, PermissionDeniedError | UnauthenticatedError | FileNotFoundError)


def _code(error: Exception) -> str:
    """Return S3's name for what went wrong, or the library's sentence; neither holds a secret."""
    found = _CODE.search(str(error))
    if found:
        return found[1]
    sentence = str(error).partition("\n")[0]
    return sentence.rpartition(" - ")[2][:200] or type(error).__name__


async def _parts(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _PART_BYTES):
        yield data[start : start + _PART_BYTES]


async def _whole(work: Awaitable[T]) -> T:
    return await work
