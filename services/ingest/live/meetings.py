"""The live meetings of this replica: taken up when a session comes, or when nobody lives who keeps them."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kit.db.tenancy import within
from kit.errors import Unavailable
from kit.telemetry import logs
from services.ingest import metrics
from services.ingest.errors import Draining, Fenced, MeetingElsewhere, MeetingFinished, MeetingNotFound
from services.ingest.intake.session import MeetingKey
from services.ingest.journal.fence import meeting_directories, remove_leftovers
from services.ingest.journal.part import has_journals
from services.ingest.live.meeting import LiveMeeting
from services.ingest.live.surroundings import Surroundings
from services.ingest.replicas.replica import Owner
from services.ingest.retry import Backoff

_READY_SECONDS = 30.0
_CRASH_PAUSE_SECONDS = (0.5, 30.0)
_CLAIM_SECONDS = 5.0
_SWEEP_SECONDS = 2.0
_ERASE_SECONDS = 10.0
_GOODBYE_SECONDS = 2.0
"""Time that clients have to leave by themselves before their meeting is handed over."""

log = logs.get()


@dataclass(slots=True)
class _Entry:
    live: LiveMeeting
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: MeetingElsewhere | None = None
    """Why the meeting does not live here after all."""


class LiveMeetings:
    """Meetings by key; made by `open_live_meetings`."""

    def __init__(self, surroundings: Surroundings, tasks: asyncio.TaskGroup) -> None:
        self._room = surroundings
        self._tasks = tasks
        self._entries: dict[MeetingKey, _Entry] = {}
        self._lives: dict[MeetingKey, asyncio.Task[None]] = {}
        self._leaving = False

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
            MeetingElsewhere: another replica keeps it.
            DatabaseUnavailable: it is not live here, and the database is away.
            Draining: the replica is stopping.
        """
        if key not in self._entries:
            row = await self._room.repository.meeting(key)
            if row.over and not (row.state == "finishing" and await self._left_behind(key)):
                raise MeetingFinished(key.meeting_id)
        entry = self.take_up(key)
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await entry.ready.wait()
        except TimeoutError:
            raise Unavailable("the meeting's journals are being read; try again", retry_after_seconds=1.0) from None
        if entry.refusal is not None:
            raise entry.refusal
        return entry.live

    def take_up(self, key: MeetingKey) -> _Entry:
        """Let a meeting live here, as far as it does not and is nobody else's.

        Raises:
            Draining: the replica is stopping.
        """
        entry = self._entries.get(key)
        if entry is None:
            if self._leaving:
                raise Draining
            entry = self._entries[key] = _Entry(LiveMeeting(key, self._room))
            self._lives[key] = self._tasks.create_task(
                self._live(key, entry), name="ingest.meeting", context=contextvars.Context()
            )
        return entry

    async def erase(self, key: MeetingKey) -> None:
        """Cut a meeting off whose row is gone, and remove what is left of it here, if anything is."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.live.erase()
        elif self._leaving or not await self._left_behind(key):
            return
        else:
            self.take_up(key)  # whose life finds the row gone
        life = self._lives.get(key)
        if life is not None:
            await asyncio.wait([life], timeout=_ERASE_SECONDS)

    async def hand_over(self) -> None:
        """Put every meeting away, as soon as its clients have left; what is acknowledged is on disk.

        Nothing is taken up any more. When this returns another replica may go on at once.
        """
        self._leaving = True
        lives = list(self._lives.items())
        async with asyncio.TaskGroup() as tasks:
            for key, life in lives:
                tasks.create_task(self._put_away(key, life), name="ingest.hand_over")
        if lives:
            log.info("meetings_handed_over", meetings=len(lives))

    async def _put_away(self, key: MeetingKey, life: "asyncio.Task[None]") -> None:
        live = self.find(key)
        if live is not None:
            try:
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    await live.deserted()
            except TimeoutError:
                pass  # its streams end now; clients come back with what is not acknowledged
        life.cancel()
        await asyncio.wait([life])

    def cancel(self) -> None:
        """Put every meeting away now; what is acknowledged is on disk."""
        self._leaving = True
        for life in self._lives.values():
            life.cancel()

    async def _live(self, key: MeetingKey, entry: _Entry) -> None:
        """Keep a meeting for as long as it is ours, over as many tenures as it takes."""
        with within(key.tenant_id):
            await self._tenures(key, entry)

    async def _tenures(self, key: MeetingKey, entry: _Entry) -> None:
        backoff = Backoff(*_CRASH_PAUSE_SECONDS)
        metrics.MEETINGS.inc()
        try:
            while True:
                try:
                    owner = await self._claim(key)
                    if not owner.mine:
                        raise MeetingElsewhere(key.meeting_id, owner.address)
                    await entry.live.run(entry.ready, beyond=owner.epoch)
                    return
                except Fenced:
                    log.warning("meeting_fenced", meeting_id=key.meeting_id)
                except MeetingElsewhere as elsewhere:
                    entry.refusal = elsewhere
                    return
                except Exception as error:  # an edge: one meeting's trouble is not the others'
                    log.error("meeting_crashed", meeting_id=key.meeting_id, exc_info=error)
                entry.ready.clear()
                await backoff.pause()
                entry.live = LiveMeeting(key, self._room)
        finally:
            metrics.MEETINGS.dec()
            del self._entries[key], self._lives[key]
            entry.ready.set()

    async def _claim(self, key: MeetingKey) -> Owner:
        """Return whose the meeting is; what lies in a directory of our own is ours, whatever the database does."""
        replicas = self._room.replicas
        mine = Owner(replicas.id, "", True)
        backoff = Backoff()
        while True:
            try:
                async with asyncio.timeout(_CLAIM_SECONDS):
                    return await replicas.claim(key)
            except MeetingNotFound:
                return mine  # its life finds out whether it was erased
            except MeetingElsewhere:
                raise
            except (Unavailable, TimeoutError) as error:
                if not replicas.shared:
                    return mine
                log.info("claim_waits", meeting_id=key.meeting_id, error=str(error))
            await backoff.pause()

    async def _sweep_forever(self) -> None:
        """Go on with the meetings of replicas that are no more."""
        pause = min(_SWEEP_SECONDS, self._room.replicas.renewal_seconds)
        while True:
            await asyncio.sleep(pause)
            try:
                async with asyncio.timeout(_CLAIM_SECONDS):
                    dead = await self._room.replicas.dead()
            except (Unavailable, TimeoutError) as error:
                log.info("sweep_waits", error=str(error))
                continue
            for key in dead:
                if key not in self._entries and not self._leaving:
                    log.info("meeting_inherited", meeting_id=key.meeting_id)
                    self.take_up(key)

    async def _left_behind(self, key: MeetingKey) -> bool:
        return await asyncio.to_thread(has_journals, self._room.meeting_directory(key))


@asynccontextmanager
async def open_live_meetings(surroundings: Surroundings) -> AsyncIterator[LiveMeetings]:
    """Keep meetings live for the block, those among them whose journals were left behind and are nobody else's."""
    async with asyncio.TaskGroup() as tasks:
        meetings = LiveMeetings(surroundings, tasks)
        for key in await asyncio.to_thread(left_behind, surroundings.directory):
            meetings.take_up(key)
        sweeping = tasks.create_task(meetings._sweep_forever(), name="ingest.sweep")
        try:
            yield meetings
        finally:
            sweeping.cancel()
            meetings.cancel()


def left_behind(directory: Path) -> list[MeetingKey]:
    """Return the meetings that have journals in a directory, after deleting what was given up; blocks on the disk."""
    remove_leftovers(directory)
    return [MeetingKey(path.parent.name, path.name) for path in meeting_directories(directory) if has_journals(path)]
