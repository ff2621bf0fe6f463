"""The blob store: recordings and artifacts by key, whole or not at all, on disk once written."""

import asyncio
import os
import re
import secrets
import time
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from obstore.store import LocalStore

from kit.errors import InvalidArgument, NotFound
from kit.lifecycle import StartError

_KEY = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9._=-]*(/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*")
_INCOMING = ".incoming"
_ABANDONED_SECONDS = 24 * 3600.0
_PIECE_BYTES = 1 << 20


class BlobNotFound(NotFound):
    """No blob has this key."""

    reason = "ERROR_REASON_ARTIFACT_NOT_FOUND"


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A blob without its bytes."""

    key: str
    size_bytes: int
    modify_time: datetime


@dataclass(frozen=True, slots=True)
class BlobHealth:
    """Outcome of a probe; `error` is empty when it could be written, read and deleted."""

    error: str
    latency_ms: int

    @property
    def ok(self) -> bool:
        """Whether all of it worked."""
        return not self.error


@asynccontextmanager
async def open_blobs(mode: str, path: Path) -> AsyncIterator["BlobStore"]:
    """Keep a store for the block.

    Args:
        mode: "local_fs" or "shared_fs", a directory of this machine or one that all nodes see.
        path: the directory; made, for us alone, when missing.

    Raises:
        StartError: the mode is not supported, or the directory cannot be used.
    """
    if mode not in ("local_fs", "shared_fs"):
        raise StartError(f"STORAGE_MODE={mode} is not part of this release: set local_fs or shared_fs")
    path = path.absolute()
    try:
        await asyncio.to_thread(_prepare, path)
    except OSError as error:
        raise StartError(f"the blob store cannot use {path}: {error.strerror or error}") from error
    yield BlobStore(mode, path, LocalStore(path, mkdir=True))


class BlobStore:
    """Blobs by key: names of letters, digits and `._=-` between slashes, none with a leading dot.

    Every method raises InvalidArgument for other keys and OSError when the directory fails.
    """

    def __init__(self, mode: str, path: Path, store: LocalStore) -> None:
        self.mode = mode
        self.path = path
        self._store = store

    async def put(self, key: str, data: bytes | AsyncIterable[bytes]) -> int:
        """Write a blob, replacing an older one at once and never in part; returns its size when it is on disk."""
        target = self.path / _checked(key)
        incoming = f"{_INCOMING}/{secrets.token_hex(12)}"
        # The store renames into place but syncs nothing: after a power cut the name could stand over no bytes.
        # So it writes under a name of our own, and we sync before and after the rename.
        try:
            await self._store.put_async(incoming, data if isinstance(data, bytes) else _pieces(data))
            return await asyncio.to_thread(_settle, self.path / incoming, target)
        except BaseException:
            (self.path / incoming).unlink(missing_ok=True)
            raise

    async def get(self, key: str) -> bytes:
        """Return a whole blob.

        Raises:
            BlobNotFound: there is none.
        """
        try:
            answer = await self._store.get_async(_checked(key))
            return bytes(await answer.bytes_async())
        except FileNotFoundError:
            raise BlobNotFound(key=key) from None

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """Yield a blob in pieces of about 1 MiB.

        Raises:
            BlobNotFound: there is none.
        """
        try:
            answer = await self._store.get_async(_checked(key))
        except FileNotFoundError:
            raise BlobNotFound(key=key) from None
        async for piece in answer.stream(min_chunk_size=_PIECE_BYTES):
            yield bytes(piece)

    async def describe(self, key: str) -> BlobInfo:
        """Return what is known of a blob without reading it.

        Raises:
            BlobNotFound: there is none.
        """
        try:
            meta = await self._store.head_async(_checked(key))
        except FileNotFoundError:
            raise BlobNotFound(key=key) from None
        return BlobInfo(key, meta["size"], meta["last_modified"])

    async def exists(self, key: str) -> bool:
        """Whether there is a blob with this key."""
        try:
            await self.describe(key)
        except BlobNotFound:
            return False
        return True

    async def delete(self, key: str) -> None:
        """Remove a blob; it is no error if there is none."""
        target = self.path / _checked(key)
        await asyncio.to_thread(_remove, target)

    async def list(self, prefix: str = "") -> AsyncIterator[BlobInfo]:
        """Yield the blobs below a prefix, which ends where a part of a key ends (`meetings/42`), in no set order."""
        if prefix:
            _checked(prefix)
        async for batch in self._store.list(prefix or None):
            for meta in batch:
                if not meta["path"].startswith(_INCOMING):
                    yield BlobInfo(meta["path"], meta["size"], meta["last_modified"])

    async def check_health(self, *, timeout_seconds: float = 10.0) -> BlobHealth:
        """Write, read and delete a probe."""
        began = time.perf_counter()
        key, content = f"probe/{secrets.token_hex(8)}", secrets.token_bytes(64)
        error = ""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.put(key, content)
                if await self.get(key) != content:
                    error = "the probe came back changed"
                await self.delete(key)
        except TimeoutError:
            error = f"no answer within {timeout_seconds:g} s"
        except Exception as problem:  # whatever the storage does is the probe's finding
            error = f"{type(problem).__name__}: {problem}".partition("\n")[0]
        return BlobHealth(error, round((time.perf_counter() - began) * 1000))


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise InvalidArgument("is not a blob key", field="key")
    return key


async def _pieces(data: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    async for piece in data:
        yield piece


def _prepare(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    incoming = path / _INCOMING
    incoming.mkdir(mode=0o700, exist_ok=True)
    for abandoned in incoming.iterdir():  # other nodes may be writing here now, but not for a day
        if time.time() - abandoned.stat().st_mtime > _ABANDONED_SECONDS:
            abandoned.unlink(missing_ok=True)


def _settle(incoming: Path, target: Path) -> int:
    made = []
    directory = target.parent
    while not directory.exists():
        made.append(directory)
        directory = directory.parent
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(incoming, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    incoming.replace(target)
    for changed in {target.parent, *made, *(one.parent for one in made)}:
        _sync_directory(changed)
    return size


def _remove(target: Path) -> None:
    target.unlink(missing_ok=True)
    if target.parent.exists():
        _sync_directory(target.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
