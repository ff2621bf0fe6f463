"""The fence: who may still say that a meeting's audio is on disk, without any clock.

A meeting's directory holds `<epoch>.owner`, one empty file for each time the meeting was taken up. To take it up is to
make the next one, which only one process can. A writer looks for it after each sync and before it acknowledges:

    old owner     write ── sync ── look: no successor ── acknowledge
    new owner                                              make fence ── read the journals ── go on

Either the old owner sees the new fence and acknowledges nothing, or its bytes were on disk before the fence was made,
and then the new owner, who reads after that, has them. This needs a file system on which a file that was made is
there for everyone who looks afterwards: local disks, CephFS, NFS mounted with `lookupcache=none`.

Epochs in a directory have no gaps, so that one look at the next tells all. A directory is given up in one step: it is
renamed away, all fences with it, and whoever misses its own fence knows that the meeting is over.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from kit.ids import new_id
from services.ingest.errors import Fenced

SUFFIX = ".owner"
_REMOVED = ".removed"
_SYNCED_LEVELS = 4
"""The directories of the meeting, of its tenant, of all journals and of the node: each may be new."""


class Fence:
    """One taking up of a meeting; blocks on the disk."""

    def __init__(self, directory: Path, epoch: int) -> None:
        self.directory = directory
        """Of the meeting."""
        self.epoch = epoch
        self._mine = directory / f"{epoch}{SUFFIX}"
        self._next = directory / f"{epoch + 1}{SUFFIX}"

    @classmethod
    def take(cls, directory: Path, *, beyond: int = 0) -> Self:
        """Fence off everyone who has the meeting; from now on it is the caller's, until the next one does the same.

        Args:
            directory: of the meeting; made as needed.
            beyond: an epoch that is known to be over, from the database.

        Raises:
            Fenced: somebody else was faster.
            OSError: the disk refuses.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = max(epochs(directory), default=None)
        epoch = beyond + 1 if there is None else there + 1
        while True:
            try:
                descriptor = os.open(
                    directory / f"{epoch}{SUFFIX}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
                )
            except (FileExistsError, FileNotFoundError):
                raise Fenced(directory.name) from None
            os.close(descriptor)
            if epoch > beyond:
                break
            epoch += 1
        for each in (directory, *directory.parents)[:_SYNCED_LEVELS]:
            sync_directory(each)
        return cls(directory, epoch)

    def check(self) -> None:
        """Look whether the meeting is still the caller's; what was synced before may be acknowledged then.

        Raises:
            Fenced: it is not.
        """
        if os.path.lexists(self._next) or not os.path.lexists(self._mine):
            raise Fenced(self.directory.name)


def epochs(directory: Path) -> Iterator[int]:
    """Return how often a meeting was taken up, in no order."""
    for path in directory.glob(f"*{SUFFIX}"):
        if path.stem.isdecimal():
            yield int(path.stem)


def remove_journals(root: Path, directory: Path) -> None:
    """Give up a meeting's directory and delete it; one that is not there is fine. Blocks on the disk.

    Args:
        root: of all journals.
        directory: of the meeting, below it.

    Raises:
        OSError: the disk refuses.
    """
    away = root / _REMOVED
    away.mkdir(mode=0o700, exist_ok=True)
    try:
        directory.rename(away / f"{directory.name}.{new_id()}")
    except FileNotFoundError:
        return
    sync_directory(directory.parent)
    remove_leftovers(root)


def remove_leftovers(root: Path) -> None:
    """Delete what was given up; several may do so at once."""
    for each in (root / _REMOVED).glob("*"):
        shutil.rmtree(each, ignore_errors=True)


def meeting_directories(root: Path) -> Iterator[Path]:
    """Return the directories of meetings, `<tenant>/<meeting>`; blocks on the disk."""
    for tenant in sorted(root.glob("*/")):
        if not tenant.name.startswith(".") and tenant.is_dir():
            yield from (path for path in sorted(tenant.iterdir()) if path.is_dir())


def sync_directory(directory: Path) -> None:
    """Make the names in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
