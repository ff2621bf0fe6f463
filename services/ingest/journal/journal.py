"""The journal of a session: append-only. What `durable_offset` says is on disk and stays; nothing else is promised.

On disk it is a chain of parts, one for each owner of the meeting that had something to write. Offsets count the bytes
of records over all parts.
"""

import asyncio
import errno
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Self

from kit.clock import monotonic
from kit.errors import AppError, Unavailable
from kit.telemetry import logs
from services.ingest import metrics
from services.ingest.errors import Fenced, JournalFailed
from services.ingest.journal.chain import Chain, Replay
from services.ingest.journal.fence import Fence
from services.ingest.journal.part import Part, PartHeader
from services.ingest.journal.record import CorruptRecord, Found, Record, decode_track
from services.ingest.pulse import Pulse

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_RETRY_SECONDS = 1.0
_LOST = "the journal no longer holds what was written"

log = logs.get()


class Journal:
    """An open journal; `open` makes or recovers one, `commit_forever` is its only writer.

    Records are gathered in memory by `append` and written with one `fdatasync`, at most one per interval. A full disk
    is waited for, with everything that is not on it kept in memory; any other error of the disk fails the journal, and
    so does a fence that somebody else has put up meanwhile.
    """

    def __init__(self, session_id: str, chain: Chain, fence: Fence, pulse: Pulse, executor: Executor | None) -> None:
        self.durable_offset = chain.end
        self.durable_sequence = 0
        self.end_offset = chain.end
        self.disk_full = False
        self._session_id = session_id
        self._chain = chain
        self._fence = fence
        self._pulse = pulse
        self._executor = executor
        self._part: Part | None = None
        self._pending: list[bytes] = []
        self._last_sequence = 0
        self._appended_at = 0.0
        self._work = asyncio.Event()
        self._failure: AppError | None = None

    @classmethod
    def open(
        cls,
        session_id: str,
        fence: Fence,
        replay: Replay,
        pulse: Pulse,
        executor: Executor | None = None,
        *,
        limit: int | None = None,
    ) -> Self:
        """Open a journal, new or left by another owner; blocks on the disk. Nothing is written before there is need.

        Args:
            session_id: whose journal.
            fence: under which what is appended here is acknowledged; its directory is the meeting's.
            replay: takes every record with its offset, in order. Where it answers False the journal ends.
            pulse: beats when more is durable, or the journal has failed.
            executor: threads for the disk; asyncio's own if None.
            limit: offset at which it ends at the latest.

        Raises:
            OSError: the disk refuses, has lost something, or holds a file that is no journal.
        """
        chain = Chain.open(fence.directory, session_id, replay, limit=limit)
        return cls(session_id, chain, fence, pulse, executor)

    @property
    def pending_bytes(self) -> int:
        """Bytes in memory that are not on disk yet."""
        return self.end_offset - self.durable_offset

    @property
    def is_own(self) -> bool:
        """Whether this owner has written: then what it found at the start stays for every owner to come, too."""
        return self._part is not None

    @property
    def failure(self) -> AppError | None:
        """Why nothing can be written any more: JournalFailed or Fenced."""
        return self._failure

    def recovered(self, sequence: int) -> None:
        """Say up to which message the records found at the start go."""
        self.durable_sequence = self._last_sequence = sequence

    def append(self, record: Record) -> int:
        """Put a record at the end; returns its offset. It is in memory only until `durable_sequence` says more.

        Raises:
            JournalFailed: the disk has refused before.
            Fenced: the meeting is another replica's.
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
            JournalFailed, Fenced: it will not be.
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
            Fenced: the meeting is another replica's.
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
            log.critical("journal_failed", error=str(error))
            raise self._fail(JournalFailed(error.strerror or "the disk refuses")) from error
        except Fenced as fenced:
            raise self._fail(fenced) from None
        self.disk_full = False
        self.durable_offset, self.durable_sequence = end, sequence
        if self._pending:
            self._work.set()
        metrics.DURABLE_SECONDS.observe(monotonic() - since)
        metrics.JOURNAL_BYTES.inc(sum(map(len, batch)))
        self._pulse.beat()
        return True

    def _fail(self, failure: Unavailable) -> Unavailable:
        self._failure = failure
        self._pulse.beat()
        return failure

    def _write(self, data: bytes) -> None:
        """Bring a batch to disk, then look whether we may say so: in this order, or two owners could both say yes."""
        try:
            self._own_part().write(data)
        except FileNotFoundError:
            self._fence.check()  # the meeting's directory was given up
            raise
        self._fence.check()

    def _own_part(self) -> Part:
        if self._part is None:
            header = PartHeader(self._fence.epoch, self._chain.last_epoch, self._chain.end)
            self._part = Part.create(self._fence.directory, self._session_id, header)
            self._chain.add(self._part)
        return self._part

    async def read(self, offset: int) -> bytes:
        """Return durable bytes from `offset` on: whole records first, one of them at least unless there is none."""
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, self._chain.read, offset, self.durable_offset
        )

    def durable_records(self, track: int) -> Iterator[Record]:
        """Yield the durable records of a track and of the session, from the first; blocks on the disk.

        Raises:
            JournalFailed: the journal no longer holds what it held.
        """
        offset, end = 0, self.durable_offset
        while offset < end:
            records, offset = self.decoded(self._chain.read(offset, end), offset, track)
            yield from records

    @staticmethod
    def decoded(data: bytes, offset: int, track: int) -> tuple[list[Record], int]:
        """Return the records of a track and of the session in what was read at `offset`, and the offset behind them.

        Raises:
            JournalFailed: it is not what was written.
        """
        records: list[Record] = []
        end = 0
        try:
            for found in decode_track(data, track):
                if isinstance(found, Found):
                    records.append(found.record)
                    end = found.end
                else:
                    end = found
        except CorruptRecord as error:
            raise JournalFailed(_LOST) from error
        if end == 0:
            raise JournalFailed(_LOST)
        return records, offset + end

    def give_up(self, why: AppError) -> None:
        """Take nothing more; whoever still wants to write or waits is told why."""
        if self._failure is None:
            self._failure = why
        self._pulse.beat()

    def close(self) -> None:
        """Give the files back; whoever still wants to write or waits is told that it is over."""
        if self._failure is None:
            self._failure = JournalFailed("the session was put away")
        self._chain.close()
        self._pulse.beat()


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
            Fenced: the meeting is another replica's.
        """
        while True:
            coming = self._pulse.coming
            if self._offset < self._journal.durable_offset:
                data = await self._journal.read(self._offset)
                records, self._offset = Journal.decoded(data, self._offset, self._track)
                if records:
                    return records
                continue
            if self._journal.failure is not None:
                raise self._journal.failure
            await coming.wait()


def free_megabytes(directory: Path) -> float:
    """Return the space left for journals, in MiB."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize / (1024 * 1024)
