"""A note in the data directory of how far a file has come, so that the same command goes on after Ctrl-C or a crash."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from kit.ids import new_id

DIRECTORY = "uploads"


@dataclass(frozen=True, slots=True)
class Upload:
    """Where a file's sound goes."""

    meeting_id: str
    session_id: str
    epoch: int = 0
    """Of the last connection; the next one takes a higher one."""


class UploadNote:
    """The note of one file; one process at a time holds it."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self.upload = self._read()
        """What an earlier run noted; None for a file that is new."""

    def begin(self, meeting_id: str) -> None:
        """Note that the file goes into a new meeting."""
        self._write(Upload(meeting_id, new_id()))

    def connect(self) -> Upload:
        """Note another connection, and return it."""
        assert self.upload is not None
        self._write(Upload(self.upload.meeting_id, self.upload.session_id, self.upload.epoch + 1))
        return self.upload

    def forget(self) -> None:
        """Remove what is noted: it is done, or cannot be gone on with."""
        self.upload = None
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)

    def _read(self) -> Upload | None:
        if self._descriptor is None:
            return None
        try:
            return Upload(**json.loads(os.pread(self._descriptor, 4096, 0)))
        except (ValueError, TypeError):
            return None  # empty, or cut off by a crash: the file is sent anew

    def _write(self, upload: Upload) -> None:
        self.upload = upload
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(asdict(upload)).encode(), 0)
            os.fsync(self._descriptor)


def upload_name(file: Path, kind: str) -> str:
    """Return what an upload is known by: the content, whatever the name, and `kind`, for example the language."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
    digest.update(kind.encode())
    return digest.hexdigest()[:32]


@contextmanager
def open_note(data: Path, name: str) -> Iterator[UploadNote]:
    """Hold the note of an upload for the block; it goes with the block if nothing is noted then.

    What another process is sending at this moment gets a note of no consequence: the two know nothing of each other.
    """
    directory = data / DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.json"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    held = False
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = True
    note = UploadNote(descriptor if held else None)
    try:
        yield note
    finally:
        if held and note.upload is None:
            path.unlink(missing_ok=True)
        os.close(descriptor)
