"""The shelf: files that a room made, kept whole for a few minutes, so that a player can seek in what has no length yet.

A room makes a recording while it sends it, so nobody knows how long the file will be. The first request for a part of
it waits until the file is whole here; the next ones are answered from here. Each request still asks the room first: who
may not hear a recording, or one that was erased, gets the room's refusal. The files have no names: they are gone with
the process, and nobody finds them on the disk.
"""

import asyncio
import hashlib
import os
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from kit.errors import ResourceExhausted

_PIECE_BYTES = 256 * 1024


class FileTooLarge(ResourceExhausted):
    """The file is too large to be served in parts; ask for it without `Range`."""

    reason = "ERROR_REASON_TOO_LARGE"


@dataclass(slots=True)
class ShelvedFile:
    """A whole file; `etag` names its bytes."""

    content_type: str
    file: IO[bytes]
    size: int = 0
    etag: str = ""
    readers: int = 0
    gone: bool = False
    hashed: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    @contextmanager
    def held(self) -> Iterator["ShelvedFile"]:
        """Keep the file for the block, also when it leaves the shelf meanwhile."""
        self.readers += 1
        try:
            yield self
        finally:
            self.readers -= 1
            self.close_if_done()

    def close_if_done(self) -> None:
        """Close the file once it is off the shelf and nobody reads it."""
        if self.gone and not self.readers:
            self.file.close()

    async def pieces(self, first: int, last: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `first` up to and with `last`."""
        position = first
        while position <= last:
            count = min(_PIECE_BYTES, last + 1 - position)
            piece = await asyncio.to_thread(os.pread, self.file.fileno(), count, position)
            position += len(piece)
            yield piece

    def write(self, piece: bytes) -> None:
        """Add a piece; blocks."""
        self.file.write(piece)
        self.hashed.update(piece)
        self.size += len(piece)

    def finish(self) -> None:
        """Note that the file is whole; blocks."""
        self.file.flush()
        self.etag = f'"{self.hashed.hexdigest()[:32]}"'


class Shelf:
    """Keeps files by what was asked for.

    Args:
        max_bytes: of all files together; those that were not read for longest make room.
        max_file_bytes: of one file.
        keep_seconds: time after which a file leaves.
    """

    def __init__(
        self, *, max_bytes: int = 1024**3, max_file_bytes: int = 512 * 1024**2, keep_seconds: float = 300.0
    ) -> None:
        self._max_bytes = max_bytes
        self._max_file_bytes = max_file_bytes
        self._keep_seconds = keep_seconds
        self._files: OrderedDict[bytes, ShelvedFile] = OrderedDict()
        self._making: dict[bytes, asyncio.Lock] = {}

    async def get(self, key: bytes, content_type: str, pieces: AsyncIterator[bytes]) -> ShelvedFile:
        """Return the file of `key`, made of `pieces` unless it is here; equal requests wait for the first.

        Raises:
            FileTooLarge: it does not fit.
        """
        lock = self._making.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                if key not in self._files:
                    self._put(key, await self._make(content_type, pieces))
        finally:
            if not lock.locked():
                self._making.pop(key, None)
        self._files.move_to_end(key)
        return self._files[key]

    def clear(self) -> None:
        """Take every file off the shelf."""
        for key in list(self._files):
            self._drop(key)

    async def _make(self, content_type: str, pieces: AsyncIterator[bytes]) -> ShelvedFile:
        made = ShelvedFile(content_type, await asyncio.to_thread(tempfile.TemporaryFile))
        try:
            async for piece in pieces:
                if made.size + len(piece) > self._max_file_bytes:
                    raise FileTooLarge(limit=self._max_file_bytes)
                await asyncio.to_thread(made.write, piece)
            await asyncio.to_thread(made.finish)
        except BaseException:
            made.file.close()
            raise
        return made

    def _put(self, key: bytes, made: ShelvedFile) -> None:
        self._files[key] = made
        while sum(one.size for one in self._files.values()) > self._max_bytes and len(self._files) > 1:
            self._drop(next(iter(self._files)))
        asyncio.get_running_loop().call_later(self._keep_seconds, self._drop, key, made)

    def _drop(self, key: bytes, only: ShelvedFile | None = None) -> None:
        if only is not None and self._files.get(key) is not only:
            return
        dropped = self._files.pop(key)
        dropped.gone = True
        dropped.close_if_done()
