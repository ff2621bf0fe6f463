"""A small disk of the journals' own: a tmpfs that can be filled to the last byte and emptied again."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FILLER = "filler"


class Disk:
    """A directory; `small` says whether it is a disk of its own, which is what can be filled."""

    def __init__(self, path: Path, *, small: bool) -> None:
        self.path = path
        self.small = small

    def fill(self) -> None:
        """Leave no byte free."""
        assert self.small, "this would fill the machine's own disk"
        descriptor = os.open(self.path / _FILLER, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            block = bytes(64 * 1024)
            while block:
                try:
                    size += os.pwrite(descriptor, block, size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    block = block[: len(block) // 2]
        finally:
            os.close(descriptor)

    def free(self) -> None:
        """Give back what `fill` took."""
        (self.path / _FILLER).unlink(missing_ok=True)


@contextmanager
def open_disk(path: Path, mebibytes: int) -> Iterator[Disk]:
    """Mount a small disk for the block; who may not mount gets a plain directory.

    Args:
        path: an empty directory, or none yet.
        mebibytes: size of the disk.
    """
    path.mkdir(parents=True, exist_ok=True)
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0755", "tmpfs", str(path)]
    small = os.geteuid() == 0 and subprocess.run(mounting, capture_output=True, check=False).returncode == 0
    disk = Disk(path, small=small)
    try:
        yield disk
    finally:
        disk.free()
        if small:
            with suppress(subprocess.CalledProcessError):
                subprocess.run(["umount", "--lazy", str(path)], capture_output=True, check=True)
