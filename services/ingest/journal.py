"""The journal: one append-only file per session. What `durable_offset` says is on disk; nothing else is promised."""

import asyncio
import errno
import mmap
import os
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Self

from kit.clock import monotonic
from kit.telemetry import logs
from services.ingest import metrics
from services.ingest.errors import JournalFailed
from services.ingest.pulse import Pulse
from services.ingest.record import HEADER, CorruptRecord, Found, Record, decode, decode_track

MAGIC = b"agentj1\n"
SUFFIX = ".journal"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_RETRY_SECONDS = 1.0
_BLOCK_BYTES = 256 * 1024

log = logs.get()


class Journal:
    """An open journal; `open` makes or recovers one, `commit_forever` is its only writer.

    Records are gathered in memory by `append` and written with one `fdatasync`, at most one per interval. A full disk
    is waited for, with everything that is not on it kept in memory; any other error of the disk fails the journal.
    """

    def __init__(self, path: Path, descriptor: int, size: int, pulse: Pulse, executor: Executor | None) -> None:
        self.path = path
        self.durable_offset = size
        self.durable_sequence = 0
        self.end_offset = size
        self.disk_full = False
        self._descriptor = descriptor
        self._pulse = pulse
        self._executor = executor
        self._pending: list[bytes] = []
        self._last_sequence = 0
        self._appended_at = 0.0
        self._work = asyncio.Event()
        self._failure: JournalFailed | None = None

    @classmethod
    def open(
        cls, path: Path, replay: Callable[[Record, int], bool], pulse: Pulse, executor: Executor | None = None
    ) -> Self:
        """Open a journal, make it if there is none, and cut a torn tail; blocks on the disk.

        Args:
            path: the file; its directory is made as needed.
            replay: takes every record with its offset, in order. Where it answers False the journal is cut too.
            pulse: beats when more is durable, or the journal has failed.
            executor: threads for the disk; asyncio's own if None.

        Raises:
            OSError: the disk refuses.
        """
        made = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = _recover(descriptor, path, replay)
            os.fsync(descriptor)
            if made:
                _sync_directories(path)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, size, pulse, executor)

    @property
    def pending_bytes(self) -> int:
        """Bytes in memory that are not on disk yet."""
        return self.end_offset - self.durable_offset

    @property
    def failure(self) -> JournalFailed | None:
        """Why nothing can be written any more."""
        return self._failure

    def recovered(self, sequence: int) -> None:
        """Say up to which message the records found at the start go."""
        self.durable_sequence = self._last_sequence = sequence

    def append(self, record: Record) -> int:
        """Put a record at the end; returns its offset. It is in memory only until `durable_sequence` says more.

        Raises:
            JournalFailed: the disk has refused before.
        """
        if self._failure is not None:
            raise self._failure
        encoded = record.encode()
        offset = self.end_offset
        if not self._pending:
            self._appended_at = monotonic()
        self._pending.append(encoded)
        self.end_offset += len(encoded)
        self._last_sequence = record.sequence
        self._work.set()
        return offset

    async def durable(self, offset: int) -> None:
        """Wait until everything before `offset` is on disk.

        Raises:
            JournalFailed: it will not be.
        """
        while self.durable_offset < offset:
            coming = self._pulse.coming
            if self._failure is not None:
                raise self._failure
            await coming.wait()

    async def commit_forever(self, interval_seconds: float) -> None:
        """Bring what is appended to disk, until cancelled; then once more.

        Raises:
            JournalFailed: the disk refuses.
        """
        committing: asyncio.Future[bool] | None = None
        try:
            while True:
                await self._work.wait()
                started = monotonic()
                # A write under way in its thread cannot be called back, so it is never abandoned half-way.
                committing = asyncio.ensure_future(self._commit())
                if not await asyncio.shield(committing):
                    await asyncio.sleep(_FULL_RETRY_SECONDS)
                await asyncio.sleep(max(0.0, interval_seconds - (monotonic() - started)))
        finally:
            if committing is not None and not committing.done():
                await asyncio.wait([committing])
            if self._failure is None:
                await self._commit()

    async def _commit(self) -> bool:
        """Write and sync everything that is pending; False if the disk is full."""
        batch, end, sequence, since = self._pending, self.end_offset, self._last_sequence, self._appended_at
        self._work.clear()
        if not batch:
            return True
        self._pending = []
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, self._write, b"".join(batch))
        except OSError as error:
            if error.errno in _FULL:
                if not self.disk_full:
                    log.error("journal_disk_full", pending_bytes=self.pending_bytes)
                self.disk_full = True
                self._pending = batch + self._pending
                self._appended_at = since
                self._work.set()
                self._pulse.beat()
                return False
            self._failure = JournalFailed(error.strerror or "the disk refuses")
            self._pulse.beat()
            log.critical("journal_failed", error=str(error))
            raise self._failure from error
        self.disk_full = False
        self.durable_offset, self.durable_sequence = end, sequence
        if self._pending:
            self._work.set()
        metrics.DURABLE_SECONDS.observe(monotonic() - since)
        metrics.JOURNAL_BYTES.inc(sum(map(len, batch)))
        self._pulse.beat()
        return True

    def _write(self, data: bytes) -> None:
        # Always at the durable end: what a failed attempt left behind is written over.
        view, offset = memoryview(data), self.durable_offset
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[written:], offset + written
        os.fdatasync(self._descriptor)

    async def read(self, offset: int) -> bytes:
        """Return durable bytes from `offset` on: whole records first, one of them at least unless there is none."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._read, offset, self.durable_offset)

    def _read(self, offset: int, limit: int) -> bytes:
        data = os.pread(self._descriptor, min(_BLOCK_BYTES, limit - offset), offset)
        if len(data) >= HEADER.size:
            needed = HEADER.size + HEADER.unpack_from(data)[0]
            if len(data) < needed <= limit - offset:
                data += os.pread(self._descriptor, needed - len(data), offset + len(data))
        return data

    def close(self) -> None:
        """Give the file back; whoever still wants to write or waits is told that it is over."""
        if self._failure is None:
            self._failure = JournalFailed("the session was put away")
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._pulse.beat()

    def remove(self) -> None:
        """Delete the file, once it is closed; blocks on the disk."""
        self.path.unlink(missing_ok=True)
        _sync(self.path.parent)


class JournalReader:
    """Reads the records of one track, in order, from an offset on; holds one block in memory."""

    def __init__(self, journal: Journal, pulse: Pulse, track: int, offset: int) -> None:
        self._journal = journal
        self._pulse = pulse
        self._track = track
        self._offset = offset

    async def next(self) -> list[Record]:
        """Return the next durable records of the track and of the session; waits while there are none.

        Raises:
            JournalFailed: the journal fails, or no longer holds what it held.
        """
        while True:
            coming = self._pulse.coming
            if self._offset < self._journal.durable_offset:
                records = self._decode(await self._journal.read(self._offset))
                if records:
                    return records
                continue
            if self._journal.failure is not None:
                raise self._journal.failure
            await coming.wait()

    def _decode(self, data: bytes) -> list[Record]:
        records: list[Record] = []
        end = 0
        try:
            for found in decode_track(data, self._track):
                if isinstance(found, Found):
                    records.append(found.record)
                    end = found.end
                else:
                    end = found
        except CorruptRecord as error:
            raise JournalFailed("the journal no longer holds what was written") from error
        if end == 0:
            raise JournalFailed("the journal no longer holds what was written")
        self._offset += end
        return records


def free_megabytes(directory: Path) -> float:
    """Return the space left for journals, in MiB."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize / (1024 * 1024)


def _recover(descriptor: int, path: Path, replay: Callable[[Record, int], bool]) -> int:
    """Return the size up to which the file is whole, after cutting the rest."""
    size = os.fstat(descriptor).st_size
    good = 0
    if size >= len(MAGIC):
        with mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
            if data[: len(MAGIC)] == MAGIC:
                good = len(MAGIC)
                while (found := decode(data, good)) is not None and replay(found.record, good):
                    good = found.end
            else:
                raise OSError(errno.EINVAL, f"{path} is not a journal")
    if good < size:
        log.warning("journal_tail_cut", file=path.name, bytes=size - good)
        os.ftruncate(descriptor, good)
    if good == 0:
        os.pwrite(descriptor, MAGIC, 0)
        good = len(MAGIC)
    return good


def _sync_directories(path: Path) -> None:
    """Make the file's name survive a power cut, and its directories' names, which may be new too."""
    for directory in list(path.parents)[:4]:
        _sync(directory)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
