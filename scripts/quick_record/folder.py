"""The folder of a recording: segments, and a note of what was asked for and how far it has come."""

import json
import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

NOTE = "recording.json"
MP3 = "recording.mp3"
TRANSCRIPT = "transcript.txt"
REPORT = "report.txt"
_SEGMENT = re.compile(r"take-(\d+)-segment-(\d+)\.wav(\.part)?")


class FolderUnusable(Exception):
    """The folder holds no recording; the message says why."""


@dataclass(frozen=True, slots=True)
class Note:
    """What is known of a recording; it names no secret of the link. Times are seconds, moments seconds since 1970."""

    host: str
    title: str
    language: str
    segment: float
    overlap: float
    takes: Sequence[float] = ()
    """When each take began; a run that was killed and one that goes on are two."""
    assembled: bool = False
    transcribed: bool = False
    meeting_id: str = ""
    request_id: str = ""
    reported: bool = False
    mailed: Sequence[str] = field(default=())


@dataclass(frozen=True, slots=True, order=True)
class SegmentFile:
    """One segment on disk; one that is not `complete` was being written when its run was killed."""

    take: int
    number: int
    path: Path = field(compare=False)
    complete: bool = field(compare=False)


class Folder:
    """A recording's folder."""

    def __init__(self, path: Path, note: Note) -> None:
        self.path = path
        self.note = note

    @classmethod
    def make(cls, parent: Path, note: Note) -> "Folder":
        """Make a folder named after the time and the link's host."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        name = f"{stamp}-{re.sub(r'[^a-z0-9.-]+', '-', note.host.lower()) or 'recording'}"
        for number in range(1, 1000):
            path = parent / (name if number == 1 else f"{name}-{number}")
            with suppress(FileExistsError):
                path.mkdir(parents=True)
                break
        folder = cls(path, note)
        folder.keep()
        return folder

    @classmethod
    def open(cls, path: Path) -> "Folder":
        """Open what an earlier run left.

        Raises:
            FolderUnusable: there is no note in it.
        """
        try:
            return cls(path, Note(**json.loads((path / NOTE).read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError) as error:
            raise FolderUnusable(f"{path} holds no recording: {NOTE} cannot be read ({error})") from error

    def keep(self, **changes: object) -> None:
        """Write the note down, changed; it is there whole or as it was."""
        self.note = replace(self.note, **changes)  # type: ignore[arg-type]  # the caller names fields
        draft = self.path / f"{NOTE}.part"
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(self.note), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path / NOTE)
        sync_directory(self.path)

    def segment_path(self, take: int, number: int) -> Path:
        """Return where a segment is when it is complete."""
        return self.path / f"take-{take:02d}-segment-{number:05d}.wav"

    def segments(self) -> list[SegmentFile]:
        """Return the segments in order; of one that is there twice, the complete one."""
        found: dict[tuple[int, int], SegmentFile] = {}
        for path in sorted(self.path.iterdir()):
            match = _SEGMENT.fullmatch(path.name)
            if match:
                segment = SegmentFile(int(match[1]), int(match[2]), path, complete=match[3] is None)
                if segment.complete or (segment.take, segment.number) not in found:
                    found[segment.take, segment.number] = segment
        return sorted(found.values())


def host_of(url: str) -> str:
    """Return the host of a link; the rest may hold passwords."""
    return urlsplit(url).hostname or ""


def sync_directory(path: Path) -> None:
    """Bring a directory's names to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
