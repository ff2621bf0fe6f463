"""A chain: the parts of one journal, from the first to the last that counts, read as if they were one file.

Found from its last part backwards: the part with the highest epoch names the one before it, and so on. A part that
none of them names was written by an owner who had lost the meeting already; nothing in it was acknowledged.
"""

import errno
import os
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Self

from kit.telemetry import logs
from services.ingest.journal.part import SUFFIX, Part, PartName
from services.ingest.journal.record import HEADER, Record

_BLOCK_BYTES = 256 * 1024

Replay = Callable[[Record, int], bool]

log = logs.get()


class Chain:
    """Bytes `[0, end)` of a journal; the last part may grow. `open`, `read` and `close` block on the disk."""

    def __init__(self, parts: list[Part]) -> None:
        self._parts = parts
        self._starts = [part.start for part in parts]

    @classmethod
    def open(cls, directory: Path, session_id: str, replay: Replay, *, limit: int | None = None) -> Self:
        """Open what there is of a journal and bring it to disk for sure.

        Args:
            directory: of the meeting.
            session_id: whose journal.
            replay: takes every record with its offset, in order. Where it answers False the journal ends.
            limit: where it ends at the latest.

        Raises:
            OSError: the disk refuses, has lost something, or holds a file that is no part of a journal.
        """
        chain = cls(_find(directory, session_id))
        try:
            for part in chain._parts:
                end = _replay(part, replay, limit)
                if end != part.end and part is not chain._parts[-1]:
                    raise OSError(errno.EIO, "the journal has lost what was written", str(part.path))
                if end < part.end:
                    log.warning("journal_tail_ignored", file=part.path.name, bytes=part.end - end)
                part.end = end
                part.sync()
        except BaseException:
            chain.close()
            raise
        return chain

    @property
    def end(self) -> int:
        """Where the next record will stand."""
        return self._parts[-1].end if self._parts else 0

    @property
    def last_epoch(self) -> int:
        """Epoch of the last part, 0 if there is none."""
        return self._parts[-1].header.epoch if self._parts else 0

    def add(self, part: Part) -> None:
        """Go on in a part that begins where the chain ends."""
        assert part.start == self.end
        self._parts.append(part)
        self._starts.append(part.start)

    def read(self, offset: int, end: int) -> bytes:
        """Return bytes from `offset` on and before `end`: whole records first, one at least unless there is none."""
        part = self._parts[bisect_right(self._starts, offset) - 1]
        end = min(end, part.end)
        data = part.read(offset, min(_BLOCK_BYTES, end - offset))
        if len(data) >= HEADER.size:
            needed = HEADER.size + HEADER.unpack_from(data)[0]
            if len(data) < needed <= end - offset:
                data += part.read(offset + len(data), needed - len(data))
        return data

    def close(self) -> None:
        """Give the files back."""
        for part in self._parts:
            part.close()


def _find(directory: Path, session_id: str) -> list[Part]:
    """Return the parts that count, open, each but the last with its end where the next begins."""
    paths = {
        name.epoch: path
        for path in directory.glob(f"{session_id}.*{SUFFIX}")
        if (name := PartName.of(path)).session_id == session_id
    }
    found: list[Part] = []
    try:
        wanted = max(paths, default=0)
        while wanted:
            path = paths.pop(wanted, None)
            part = Part.open(path) if path is not None else None
            if part is not None:
                if found:
                    _cut(part, found[-1].start)
                found.append(part)
                wanted = part.header.previous
            elif found:
                raise OSError(errno.EIO, os.strerror(errno.EIO), f"part {wanted} of {session_id}")
            else:  # torn before its first sync
                wanted = max(paths, default=0)
    except BaseException:
        for part in found:
            part.close()
        raise
    return found[::-1]


def _cut(part: Part, end: int) -> None:
    if part.end < end:
        part.close()
        raise OSError(errno.EIO, "the journal has lost what was written", str(part.path))
    part.end = end


def _replay(part: Part, replay: Replay, limit: int | None) -> int:
    """Return where the part's records end that are whole and wanted."""
    end = part.start
    for found in part.records():
        if (limit is not None and found.end > limit) or not replay(found.record, found.start):
            break
        end = found.end
    return end
