"""A live meeting: its sessions, the feeds of their tracks, and how it comes to its end.

    sessions ──▶ journals ──▶ feeds ──▶ segments ──▶ hub
       └── all ended ──▶ feeds done ──▶ account stored, report asked for ──▶ tracks sealed ──▶ journals removed

All of it can be built again from the journals and the store, and is, after a crash of the process or of the meeting.
"""

import asyncio
import contextvars
import errno
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from agent.ingest.v1 import meeting_service_pb2 as pb
from kit.clock import monotonic, now
from kit.errors import InvalidArgument
from kit.telemetry import logs
from services.ingest import metrics
from services.ingest.coverage.accounts import (
    ParticipantAccount,
    coverage_message,
    duration_ms,
    participant_accounts,
)
from services.ingest.errors import DiskFull, Fenced, JournalFailed, MeetingErased, MeetingFinished, MeetingNotFound
from services.ingest.intake.session import MeetingKey, Session, keep_journal
from services.ingest.journal.fence import Fence, remove_journals
from services.ingest.journal.journal import free_megabytes
from services.ingest.journal.part import session_ids
from services.ingest.live.alarms import Alarms
from services.ingest.live.ending import count_coverage, finish_of, seal_sessions
from services.ingest.live.hearing import Hearing
from services.ingest.live.surroundings import Surroundings
from services.ingest.messages import meeting_message
from services.ingest.pulse import Pulse
from services.ingest.recordings.sealing import audio_prefix, forget_scratch
from services.ingest.retry import Backoff, until_done
from services.ingest.rows import MeetingRow, Tenure, Wanted
from services.ingest.watching.follow import Follower
from services.ingest.watching.levels import Levels

CHUNK_SESSION = "chunks"
"""Session of a meeting that takes encoded chunks; clients of streams cannot use its name."""
_SWEEP_PAUSE_SECONDS = (1.0, 60.0)
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})

log = logs.get()


class LiveMeeting:
    """One meeting for one tenure, from its first session or its journals to its end; `run` is its life."""

    def __init__(self, key: MeetingKey, surroundings: Surroundings) -> None:
        self.key = key
        self.sessions: dict[str, Session] = {}
        self.row: MeetingRow | None = None
        self.chunk_lock = asyncio.Lock()
        """Chunks are put one after another."""
        self._room = surroundings
        self._settings = surroundings.settings
        self._follower = Follower(surroundings.follower, surroundings.repository, surroundings.hub, key)
        self.alarms = Alarms(
            key,
            self.sessions,
            surroundings.hub,
            recognition=lambda: self.recognition_problem,
            disk_low=self._disk_is_low,
        )
        self._levels = Levels(key, self.sessions, surroundings.hub)
        self._fence: Fence | None = None
        self._hearing: Hearing | None = None
        self._keepers: list[asyncio.Task[None]] = []
        self._changed = Pulse()
        self._erased = asyncio.Event()
        self._opening = asyncio.Lock()
        self._closing = False
        self._over = False
        self._finish_at: float | None = None
        self._detached_at: dict[str, float] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._context = contextvars.copy_context()
        self._started_at = monotonic()

    async def run(self, ready: asyncio.Event, *, beyond: int = 0) -> None:
        """Live until the meeting is finished and its tracks are sealed; `ready` is set when sessions may be opened.

        A meeting that was erased meanwhile is given up, journals and all.

        Args:
            ready: set when the journals are read.
            beyond: epoch of the last tenure, as far as the database told.

        Raises:
            Fenced: another replica has taken the meeting up; its journals are as they were.
            ExceptionGroup: something went wrong; a new one can go on from the journals.
        """
        # What is done here outlives the call that began it: no task inherits that call's caller or deadline.
        with logs.bind(meeting_id=self.key.meeting_id):
            self._context = contextvars.copy_context()
            try:
                async with asyncio.TaskGroup() as tasks:
                    self._tasks = tasks
                    await self._while_it_is_there(self._live(ready, beyond))
            except BaseExceptionGroup as failures:
                self._put_away()
                if failures.subgroup(MeetingNotFound) is not None:
                    await self._mourn()
                elif failures.subgroup(Fenced) is not None:
                    raise Fenced(self.key.meeting_id) from None
                else:
                    raise
            finally:
                self._put_away()

    async def _live(self, ready: asyncio.Event, beyond: int) -> None:
        self._fence = await asyncio.to_thread(Fence.take, self._room.meeting_directory(self.key), beyond=beyond)
        self._hearing = Hearing(self.tenure, self._room, self._spawn)
        await self._restore()
        ready.set()
        alarms = self._spawn(self.alarms.run(self._settings.coverage_interval_seconds), "alarms")
        row = await self._understand()
        self._spawn(self._follower.run(row), "follow")
        meanwhile = [
            alarms,
            self._spawn(self._until_erased(), "erased"),
            self._spawn(self.hearing.run(), "hearing"),
            self._spawn(self._tell_coverage(), "coverage"),
            self._spawn(self._levels.run(), "levels"),
        ]
        await self._all_ended()
        await self._finish()
        for task in meanwhile:
            task.cancel()
        await self._leave()

    @property
    def fence(self) -> Fence:
        """What says that the meeting is ours."""
        assert self._fence is not None
        return self._fence

    @property
    def hearing(self) -> Hearing:
        """The feeds."""
        assert self._hearing is not None
        return self._hearing

    @property
    def tenure(self) -> Tenure:
        """Under what the meeting's writes count."""
        return Tenure(self.key, self._room.replicas.id, self.fence.epoch)

    @property
    def insights(self) -> list[pb.LiveInsight]:
        """What a watcher that comes late has missed."""
        return self._follower.insights

    @property
    def lag_ms(self) -> int:
        """Age of the oldest audio that is not decided."""
        undecided = [track.undecided_samples for session in self.sessions.values() for track in session.tracks.values()]
        return max(undecided, default=0) // 16

    @property
    def problem(self) -> str:
        """What deserves attention, without names; empty when all is well."""
        return self._problem(named=False)

    @property
    def note(self) -> str:
        """The same for operators' eyes."""
        return self._problem(named=True)

    def _problem(self, *, named: bool) -> str:
        full = any(session.journal.disk_full for session in self.sessions.values())
        problems = [
            "the journals' disk is full" if full else "",
            self.recognition_problem or self._recognition_warning,
            self.alarms.note(named=named),
        ]
        return "; ".join(filter(None, problems))

    @property
    def recognition_problem(self) -> str:
        """Why no text comes now; empty when all is well."""
        return self._hearing.problem if self._hearing else ""

    @property
    def _recognition_warning(self) -> str:
        warning = self._hearing.warning if self._hearing else ""
        return f"speech recognition is busy: {warning}" if warning else ""

    @property
    def warnings(self) -> list[pb.MeetingWarning]:
        """What a watcher that comes late must know is wrong."""
        return self.alarms.warnings

    async def deserted(self) -> None:
        """Wait until no client is connected."""
        while any(session.connected and not session.ended for session in self.sessions.values()):
            await self._changed.coming.wait()

    @property
    def age_seconds(self) -> int:
        """Seconds since the meeting was taken up here."""
        return int(monotonic() - self._started_at)

    @property
    def finishing(self) -> bool:
        """Whether no more audio is taken."""
        return self._closing

    def accounts(self) -> list[ParticipantAccount]:
        """Return the account so far."""
        return participant_accounts(list(self.sessions.values()))

    @property
    def length_ms(self) -> int:
        """Length of the meeting so far."""
        return duration_ms(self.sessions.values())

    async def session(self, session_id: str, start_time_ms: int) -> Session:
        """Return a session of the meeting, made if it is new.

        Raises:
            MeetingNotFound: the meeting is not there any more.
            MeetingFinished: it takes no new session.
            DiskFull: the disk is nearly full.
            DatabaseUnavailable: a new session needs the database, and it is away.
            JournalFailed: the disk refuses.
            Fenced: the meeting is another replica's.
        """
        async with self._opening:
            self._check_life()
            known = self.sessions.get(session_id)
            if known is not None:
                return known
            if self._closing or self._finish_at is not None:
                raise MeetingFinished(self.key.meeting_id)
            self._check_room()
            began = datetime.fromtimestamp(start_time_ms / 1000, UTC) if start_time_ms > 0 else now()
            if self.row is None:  # our tenure has not begun yet
                await self._room.live_repository.take(self.tenure)
            self.row = await self._room.live_repository.open_session(self.tenure, session_id, began)
            session = await self._open_journal(session_id)
            if self.finishing or self._over:
                session.journal.close()
                self._check_life()
                raise MeetingFinished(self.key.meeting_id)
            self._adopt(session)
            self.hearing.listen(session, self.row.language, recognised=Wanted.of(self.row.context).text)
            self._room.hub.publish(self.key, pb.WatchMeetingResponse(meeting=meeting_message(self.row)))
            log.info("session_opened", session_id=session_id)
            return session

    def request_finish(self) -> None:
        """Let the sessions end: clients get a short grace for what they still have to send."""
        if self._finish_at is None:
            self._finish_at = monotonic()
            for session in self.sessions.values():
                session.pulse.beat()
            self._changed.beat()

    def erase(self) -> None:
        """Give the meeting up: its row is gone, and its clients and journals must not wait until we notice."""
        self._erased.set()

    async def _until_erased(self) -> None:
        await self._erased.wait()
        raise MeetingNotFound(self.key.meeting_id)

    async def _while_it_is_there(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something; if it finds the meeting gone, clients hear that before they hear that it is over."""
        try:
            await work
        except (MeetingNotFound, ExceptionGroup) as failure:
            if isinstance(failure, MeetingNotFound) or failure.subgroup(MeetingNotFound) is not None:
                for session in self.sessions.values():
                    session.journal.give_up(MeetingErased(self.key.meeting_id))
            raise

    def _check_life(self) -> None:
        if self._over:
            raise JournalFailed("the meeting was put away; come back")

    def _check_room(self) -> None:
        if len(self.sessions) >= self._settings.max_sessions_per_meeting:
            most = self._settings.max_sessions_per_meeting
            raise InvalidArgument(f"a meeting has at most {most} sessions", field="open.session_id")
        if self._disk_is_low():
            log.error("session_refused_disk_full")
            raise DiskFull

    def _disk_is_low(self) -> bool:
        try:
            return free_megabytes(self._room.directory) < self._settings.min_free_mb
        except OSError:
            return True  # a disk that does not answer is no place for a recording

    async def _open_journal(self, session_id: str) -> Session:
        opening = asyncio.ensure_future(
            asyncio.to_thread(
                Session.open, self.key, session_id, self.fence, self._settings.session_limits, self._room.executor
            )
        )
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)
            raise
        except OSError as error:
            log.error("journal_failed", error=str(error))
            if error.errno in _NO_SPACE:
                raise DiskFull from error
            raise JournalFailed(error.strerror or "the disk refuses") from error

    async def _restore(self) -> None:
        """Open the journals that are there, before anybody asks."""
        for session_id in await asyncio.to_thread(session_ids, self.fence.directory):
            session = await self._open_journal(session_id)
            self._adopt(session)
            log.info(
                "session_restored",
                session_id=session.session_id,
                next_sequence=session.next_sequence,
                tracks=len(session.tracks),
                ended=session.ended,
            )

    async def _understand(self) -> MeetingRow:
        """Begin our tenure in the store, and learn from it how far everything had come."""
        restored = list(self.sessions.values())
        row = await until_done("meeting", lambda: self._room.live_repository.take(self.tenure))
        self.row = self.row or row
        log.info("meeting_taken_up", epoch=self.tenure.epoch, sessions=len(restored))
        if row.over:
            self.request_finish()
        if row.state != "finished":
            for session in restored:
                await self._catch_up(session)
                self.hearing.listen(session, row.language, recognised=Wanted.of(row.context).text)
        return self.row

    async def _catch_up(self, session: Session) -> None:
        progress = await until_done(
            "cursors", lambda: self._room.live_repository.progress(self.key, session.session_id)
        )
        for number, known in progress.items():
            track = session.tracks.get(number)
            if track is None:
                continue
            for start, end, words in known.finals:
                track.settle(start, end, words)
            track.decide(known.cursor_sample)
            track.pinned_language = known.pinned_language

    def _adopt(self, session: Session) -> None:
        self.sessions[session.session_id] = session
        self._detached_at[session.session_id] = monotonic()
        self._keepers.append(self._spawn(keep_journal(session, self._settings.commit_interval_seconds), "journal"))
        self._spawn(self._keep(session), "session")

    async def _keep(self, session: Session) -> None:
        """Wait until a session ends, or end it for a client that does not come back."""
        metrics.SESSIONS.inc()
        try:
            was_connected = False
            while not session.ended:
                coming = session.pulse.coming
                if was_connected and not session.connected:
                    self._detached_at[session.session_id] = monotonic()
                    log.info("session_detached", session_id=session.session_id)
                    self._changed.beat()
                was_connected = session.connected
                patience = self._patience(session)
                if patience is not None and patience <= 0:
                    log.warning("session_finished_from_journal", session_id=session.session_id)
                    session.finish()
                    break
                try:
                    async with asyncio.timeout(patience):
                        await coming.wait()
                except TimeoutError:
                    continue
            await session.settled()
            await until_done("sessions", lambda: self._room.live_repository.end_session(self.tenure, session))
            log.info("session_ended", session_id=session.session_id, next_sequence=session.next_sequence)
        finally:
            metrics.SESSIONS.dec()
        self._changed.beat()

    def _patience(self, session: Session) -> float | None:
        """Return the seconds until a session is finished from the journal; None for as long as its client is there."""
        deadlines = []
        if session.session_id == CHUNK_SESSION:
            latest = max(session.last_audio_at, self._detached_at[session.session_id])
            deadlines.append(latest + self._settings.chunk_timeout_seconds)
            if self._finish_at is not None:
                deadlines.append(self._finish_at)
        else:
            if not session.connected:
                deadlines.append(self._detached_at[session.session_id] + self._settings.session_timeout_seconds)
            if self._finish_at is not None:
                deadlines.append(self._finish_at + self._settings.finish_grace_seconds)
        return min(deadlines) - monotonic() if deadlines else None

    async def _all_ended(self) -> None:
        while True:
            coming = self._changed.coming
            some = bool(self.sessions) or self._finish_at is not None
            if some and all(session.ended for session in self.sessions.values()):
                self._closing = True
                return
            await coming.wait()

    async def _finish(self) -> None:
        """Wait for the last word, store the account, ask for the report, seal."""
        self.row = await until_done("meeting", lambda: self._room.live_repository.begin_finish(self.tenure))
        if self.row.state != "finished":
            self._room.hub.publish(self.key, pb.WatchMeetingResponse(meeting=meeting_message(self.row)))
            await self.hearing.finished()
            await self._settle_account()
        self._follower.end()
        await seal_sessions(self.tenure, list(self.sessions.values()), self.fence, self._room)

    async def _settle_account(self) -> None:
        accounts = self.accounts()
        finish = finish_of(self.key, list(self.sessions.values()), accounts)
        await until_done("account", lambda: self._room.live_repository.finish(self.tenure, finish))
        count_coverage(accounts)
        self.row = await until_done("meeting", lambda: self._room.repository.meeting(self.key))
        self._tell_coverage_once()
        self._room.hub.publish(self.key, pb.WatchMeetingResponse(meeting=meeting_message(self.row)))
        log.info("meeting_finished", duration_ms=finish.duration_ms, segments=self.row.segments)

    async def _leave(self) -> None:
        """Remove the journals of a meeting that needs them no more, and be its owner no longer."""
        for task in self._keepers:
            task.cancel()
        if self._keepers:
            await asyncio.wait(self._keepers)
        await asyncio.to_thread(remove_journals, self._room.directory, self.fence.directory)
        await until_done("owners", lambda: self._room.live_repository.release(self.tenure))

    async def _mourn(self) -> None:
        """Remove the journals of a meeting that was erased; those of one that the store never knew stay."""
        directory = self._room.meeting_directory(self.key)
        if await until_done("tombstones", lambda: self._room.live_repository.erased(self.key)):
            await asyncio.to_thread(remove_journals, self._room.directory, directory)
            await self._sweep_blobs()
            log.info("erased_meeting_given_up")
        else:
            log.error("journals_without_meeting", directory=str(directory))

    async def _sweep_blobs(self) -> None:
        """Delete what was being sealed while the meeting was erased."""
        backoff = Backoff(*_SWEEP_PAUSE_SECONDS)
        await asyncio.to_thread(forget_scratch, self._room.scratch, self.key)
        while True:
            try:
                await self._room.blobs.delete_below(audio_prefix(self.key))
                return
            except OSError as error:
                log.warning("erased_blobs_wait", error=str(error))
                await backoff.pause()

    def _put_away(self) -> None:
        self._over = True
        for session in self.sessions.values():
            session.journal.close()

    async def _tell_coverage(self) -> None:
        while True:
            await asyncio.sleep(self._settings.coverage_interval_seconds)
            if self._room.hub.watched(self.key):
                self._tell_coverage_once()

    def _tell_coverage_once(self) -> None:
        update = pb.CoverageUpdate(
            duration_ms=self.length_ms,
            participants=[coverage_message(one, intervals=False) for one in self.accounts()],
        )
        self._room.hub.publish(self.key, pb.WatchMeetingResponse(coverage=update))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        assert self._tasks is not None
        return self._tasks.create_task(
            self._while_it_is_there(work), name=f"ingest.{name}", context=self._context.copy()
        )


def _close(opening: "asyncio.Future[Session]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().journal.close()
