"""A data directory belongs to one mesh at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.lifecycle import StartError


@contextmanager
def claimed(data: Path) -> Iterator[None]:
    """Have the directory for the block; the kernel lets go of it when this process ends, however that happens.

    Raises:
        StartError: a mesh runs on it.
    """
    descriptor = os.open(data / "mesh.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode() or "unknown"
            raise StartError(
                f"a mesh runs on {data} already, process {owner}: stop that one first, or choose another --data-dir"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)
