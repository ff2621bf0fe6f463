"""Blobs in a directory, of this machine or one that every node sees."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from pathlib import Path

from obstore.store import LocalStore

from kit.blobs.store import PIECE_BYTES, BlobInfo, BlobNotFound, BlobReader, BlobStore, checked

_INCOMING = ".incoming"
_ABANDONED_SECONDS = 24 * 3600.0


class DirectoryStore(BlobStore):
    """A directory; made, for us alone, by `prepare`."""

    def __init__(self, mode: str, path: Path, refusal: str = "") -> None:
        super().__init__(mode, str(path), refusal)
        self.path = path
        self._store = LocalStore(path, mkdir=True)

    async def put(self, key: str, data: bytes | AsyncIterable[bytes]) -> int:
        target = self.path / checked(key)
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
        try:
            answer = await self._store.get_async(checked(key))
            return bytes(await answer.bytes_async())
        except FileNotFoundError:
            raise BlobNotFound(key=key) from None

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        try:
            answer = await self._store.get_async(checked(key))
        except FileNotFoundError:
            raise BlobNotFound(key=key) from None
        async for piece in answer.stream(min_chunk_size=PIECE_BYTES):
            yield bytes(piece)

    def open_reader(self, key: str) -> BlobReader:
        try:
            return (self.path / checked(key)).open("rb")
        except (FileNotFoundError, IsADirectoryError):
            raise BlobNotFound(key=key) from None

    async def describe(self, key: str) -> BlobInfo:
        try:
            meta = await self._store.head_async(checked(key))
        except FileNotFoundError:
            raise BlobNotFound(key=key) from None
        return BlobInfo(key, meta["size"], meta["last_modified"])

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(self._remove, checked(key))

    async def list(self, prefix: str = "") -> AsyncIterator[BlobInfo]:
        if prefix:
            checked(prefix)
        async for batch in self._store.list(prefix or None):
            for meta in batch:
                if not meta["path"].startswith(_INCOMING):
                    yield BlobInfo(meta["path"], meta["size"], meta["last_modified"])

    def _remove(self, key: str) -> None:
        """Remove a file and the directories that it leaves empty: the names of those that are gone say nothing."""
        target = self.path / key
        target.unlink(missing_ok=True)
        directory = target.parent
        while directory != self.path:
            try:
                directory.rmdir()
            except FileNotFoundError:
                pass
            except OSError:  # somebody else's blob lies there
                break
            directory = directory.parent
        with suppress(FileNotFoundError):
            _sync_directory(directory)


def prepare(path: Path) -> None:
    """Make the directory and forget what was never finished; blocks on the disk.

    Raises:
        OSError: it cannot be used.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    incoming = path / _INCOMING
    incoming.mkdir(mode=0o700, exist_ok=True)
    for abandoned in incoming.iterdir():  # other nodes may be writing here now, but not for a day
        if time.time() - abandoned.stat().st_mtime > _ABANDONED_SECONDS:
            abandoned.unlink(missing_ok=True)


async def _pieces(data: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    async for piece in data:
        yield piece


def _settle(incoming: Path, target: Path) -> int:
    descriptor = os.open(incoming, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    made = _move(incoming, target)
    with suppress(FileNotFoundError):  # deleted by somebody else already
        for changed in {target.parent, *made, *(one.parent for one in made)}:
            _sync_directory(changed)
    return size


def _move(incoming: Path, target: Path) -> list[Path]:
    """Rename into place; returns the directories that were missing."""
    while True:
        made = []
        directory = target.parent
        while not directory.exists():
            made.append(directory)
            directory = directory.parent
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            incoming.replace(target)
        except FileNotFoundError:
            if not incoming.exists():
                raise
            continue  # whoever deleted the last blob there removed the directory in between
        return made


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
