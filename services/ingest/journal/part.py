"""A part: one file of a journal, `<session>.<epoch>.journal`, written by one owner of the meeting and by nobody else.

    0        8        16         24       32
    magic    epoch    previous   start    crc32    record ...

All numbers are little-endian. `previous` is the epoch of the part before, 0 if there is none. `start` is where the
part's first record stands in the journal as a whole; so it also says how much of the part before counts. Whatever
stands there behind it, torn or written too late, is nobody's.
"""

import errno
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from services.ingest.journal.fence import sync_directory
from services.ingest.journal.record import Found, decode

SUFFIX = ".journal"
MAGIC = b"agentj2\n"
_FIELDS = struct.Struct("<8sQQQ")
_CHECKSUM = struct.Struct("<I")
HEADER_BYTES = _FIELDS.size + _CHECKSUM.size


@dataclass(frozen=True, slots=True)
class PartHeader:
    """The first bytes of a part."""

    epoch: int
    previous: int
    start: int

    def encode(self) -> bytes:
        """Return the header as it stands in the file."""
        fields = _FIELDS.pack(MAGIC, self.epoch, self.previous, self.start)
        return fields + _CHECKSUM.pack(zlib.crc32(fields))

    @classmethod
    def decode(cls, data: bytes, path: Path) -> Self | None:
        """Return the header of a part; None if it is torn: then nothing in the part was ever acknowledged.

        Raises:
            OSError: the file is no part of a journal.
        """
        if not MAGIC.startswith(data[: len(MAGIC)].rstrip(b"\0")):
            raise OSError(errno.EINVAL, "not a journal of this release", str(path))
        if len(data) < HEADER_BYTES:
            return None
        magic, epoch, previous, start = _FIELDS.unpack_from(data)
        (checksum,) = _CHECKSUM.unpack_from(data, _FIELDS.size)
        if magic != MAGIC or checksum != zlib.crc32(data[: _FIELDS.size]):
            return None
        return cls(epoch, previous, start)


@dataclass(frozen=True, slots=True)
class PartName:
    """What a part's file name says."""

    session_id: str
    epoch: int

    def __str__(self) -> str:
        return f"{self.session_id}.{self.epoch}{SUFFIX}"

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read a file's name.

        Raises:
            OSError: it is not the name of a part.
        """
        session_id, _, epoch = path.name.removesuffix(SUFFIX).rpartition(".")
        if not session_id or not epoch.isdecimal():
            raise OSError(errno.EINVAL, "not a journal of this release", str(path))
        return cls(session_id, int(epoch))


def session_ids(directory: Path) -> list[str]:
    """Return the sessions that have journals in a meeting's directory; blocks on the disk.

    Raises:
        OSError: a file there is not the part of a journal, or the disk refuses.
    """
    return sorted({PartName.of(path).session_id for path in directory.glob(f"*{SUFFIX}")})


def has_journals(directory: Path) -> bool:
    """Return whether anything was journalled in a meeting's directory; blocks on the disk."""
    return any(directory.glob(f"*{SUFFIX}"))


class Part:
    """A part that is open: bytes `[start, end)` of its journal. All methods block on the disk."""

    def __init__(self, path: Path, descriptor: int, header: PartHeader, end: int) -> None:
        self.path = path
        self.header = header
        self.end = end
        self._descriptor = descriptor

    @classmethod
    def create(cls, directory: Path, session_id: str, header: PartHeader) -> Self:
        """Make a part that is empty; nothing of it is on disk for sure before `write`.

        Raises:
            OSError: the disk refuses, or the part is there.
        """
        path = directory / str(PartName(session_id, header.epoch))
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        return cls(path, descriptor, header, header.start)

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """Open a part to read; None if its header is torn. Its end is where the file ends.

        Raises:
            OSError: the disk refuses, or the file is no part of a journal.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            header = PartHeader.decode(os.pread(descriptor, HEADER_BYTES, 0), path)
            if header is None:
                os.close(descriptor)
                return None
            size = os.fstat(descriptor).st_size
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, header, header.start + size - HEADER_BYTES)

    @property
    def start(self) -> int:
        """Where its first record stands in the journal."""
        return self.header.start

    def records(self) -> Iterator[Found]:
        """Yield the records up to the end or up to where they are not whole, with offsets of the journal."""
        size = self.end - self.start
        if size <= 0:
            return
        with (
            mmap.mmap(self._descriptor, HEADER_BYTES + size, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as whole,
            whole[HEADER_BYTES:] as data,
        ):
            position = 0
            while (found := decode(data, position)) is not None:
                position = found.end
                yield Found(found.record, self.start + found.start, self.start + found.end)

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes from an offset of the journal on, as many as there are up to the part's end."""
        return os.pread(self._descriptor, min(size, self.end - offset), offset - self.start + HEADER_BYTES)

    def write(self, data: bytes) -> None:
        """Put records at the end and sync them, the header with the first; the end moves when all of it is on disk.

        Always at the end: what a failed attempt left behind is written over, with the same bytes as far as it goes.

        Raises:
            OSError: the disk refuses.
        """
        first = self.end == self.start
        position = 0 if first else self.end - self.start + HEADER_BYTES
        view = memoryview(self.header.encode() + data if first else data)
        while view:
            written = os.pwrite(self._descriptor, view, position)
            view, position = view[written:], position + written
        os.fdatasync(self._descriptor)
        if first:
            sync_directory(self.path.parent)
        self.end += len(data)

    def sync(self) -> None:
        """Bring to disk what the one who wrote it may not have."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Give the file back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
