"""The live meetings of this process: taken up when a session comes, or after a restart, from the journals."""

import asyncio
import contextvars
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kit.errors import Unavailable
from kit.lifecycle import StartError
from kit.telemetry import logs
from services.ingest import metrics
from services.ingest.errors import MeetingFinished
from services.ingest.journal import SUFFIX
from services.ingest.live import LiveMeeting, Surroundings
from services.ingest.retry import Backoff
from services.ingest.session import MeetingKey

_READY_SECONDS = 30.0
_CRASH_PAUSE_SECONDS = (0.5, 30.0)

log = logs.get()


@dataclass(slots=True)
class _Entry:
    live: LiveMeeting
    ready: asyncio.Event = field(default_factory=asyncio.Event)


class LiveMeetings:
    """Meetings by key; made by `open_live_meetings`."""

    def __init__(self, surroundings: Surroundings, tasks: asyncio.TaskGroup) -> None:
        self._room = surroundings
        self._tasks = tasks
        self._entries: dict[MeetingKey, _Entry] = {}
        self._lives: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[LiveMeeting]:
        """Return the meetings that are live or being finished."""
        return iter([entry.live for entry in self._entries.values()])

    def find(self, key: MeetingKey) -> LiveMeeting | None:
        """Return a meeting that is live here, None if it is not."""
        entry = self._entries.get(key)
        return entry.live if entry else None

    async def enter(self, key: MeetingKey) -> LiveMeeting:
        """Return a meeting, taken up now if it was not.

        Raises:
            MeetingNotFound: there is none for this tenant.
            MeetingFinished: it takes no more audio.
            DatabaseUnavailable: it is not live here, and the database is away.
        """
        if key not in self._entries:
            row = await self._room.repository.meeting(key)
            if row.over:
                raise MeetingFinished(key.meeting_id)
        entry = self.take_up(key)
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await entry.ready.wait()
        except TimeoutError:
            raise Unavailable("the meeting's journals are being read; try again", retry_after_seconds=1.0) from None
        return entry.live

    def take_up(self, key: MeetingKey) -> _Entry:
        """Let a meeting live here, as far as it does not."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(LiveMeeting(key, self._room))
            life = self._tasks.create_task(self._live(key, entry), name="ingest.meeting", context=contextvars.Context())
            self._lives.add(life)
            life.add_done_callback(self._lives.discard)
        return entry

    def cancel(self) -> None:
        """Put every meeting away; what is acknowledged is on disk."""
        for life in self._lives:
            life.cancel()

    async def _live(self, key: MeetingKey, entry: _Entry) -> None:
        backoff = Backoff(*_CRASH_PAUSE_SECONDS)
        metrics.MEETINGS.inc()
        try:
            while True:
                try:
                    await entry.live.run(entry.ready)
                    return
                except Exception as error:  # an edge: one meeting's trouble is not the others'
                    log.error("meeting_crashed", meeting_id=key.meeting_id, exc_info=error)
                entry.ready.clear()
                await backoff.pause()
                entry.live = LiveMeeting(key, self._room)
        finally:
            metrics.MEETINGS.dec()
            del self._entries[key]


@asynccontextmanager
async def open_live_meetings(surroundings: Surroundings) -> AsyncIterator[LiveMeetings]:
    """Keep meetings live for the block, those among them whose journals were left behind.

    Raises:
        StartError: the directory cannot be used, or another process uses it.
    """
    with _owned(surroundings.directory):
        async with asyncio.TaskGroup() as tasks:
            meetings = LiveMeetings(surroundings, tasks)
            for key in left_behind(surroundings.directory):
                meetings.take_up(key)
            try:
                yield meetings
            finally:
                meetings.cancel()


def left_behind(directory: Path) -> list[MeetingKey]:
    """Return the meetings that have journals in a directory."""
    meetings = {path.parent for path in directory.glob(f"*/*/*{SUFFIX}")}
    return [MeetingKey(path.parent.name, path.name) for path in sorted(meetings)]


@contextmanager
def _owned(directory: Path) -> Iterator[None]:
    """Hold a directory for this process: two writers of one journal would ruin it."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(f"the journals cannot be kept in {directory}: {error.strerror or error}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartError(f"another process keeps its journals in {directory}") from None
        yield
    finally:
        os.close(descriptor)
