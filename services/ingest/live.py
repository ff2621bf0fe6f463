"""A live meeting: its sessions, the feeds of their tracks, and how it comes to its end.

    sessions ──▶ journals ──▶ feeds ──▶ segments ──▶ hub
       └── all ended ──▶ feeds done ──▶ account stored, report asked for ──▶ tracks sealed ──▶ journals removed

All of it can be built again from the journals and the store, and is, after a crash of the process or of the meeting.
"""

import asyncio
import contextvars
import errno
from collections.abc import Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.ingest.v1 import meeting_service_pb2 as pb
from kit.clock import monotonic, now
from kit.errors import InvalidArgument, Unavailable
from kit.telemetry import logs
from services.ingest import metrics
from services.ingest.accounts import (
    ParticipantAccount,
    coverage_message,
    duration_ms,
    duration_sample,
    participant_accounts,
)
from services.ingest.errors import DiskFull, JournalFailed, MeetingFinished, MeetingNotFound
from services.ingest.feed import Feed, Recognizer
from services.ingest.follow import Follower, ReportFollower
from services.ingest.hub import Hub
from services.ingest.journal import SUFFIX, free_megabytes
from services.ingest.messages import meeting_message, track_participant
from services.ingest.pulse import Pulse
from services.ingest.repository import IngestRepository, session_row_id
from services.ingest.retry import Backoff, until_done
from services.ingest.rows import CoverageRow, Finish, MeetingRow, ParticipantRow
from services.ingest.sealing import Blobs, seal
from services.ingest.session import MeetingKey, Session, keep_journal
from services.ingest.settings import IngestSettings
from services.ingest.settle import Settler
from services.ingest.track import Track

CHUNK_SESSION = "chunks"
"""Session of a meeting that takes encoded chunks; clients of streams cannot use its name."""
_SEALING_PAUSE_SECONDS = (1.0, 60.0)
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})

log = logs.get()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every live meeting of the room works with."""

    settings: IngestSettings
    repository: IngestRepository
    hub: Hub
    recognizer: Recognizer
    follower: ReportFollower
    blobs: Blobs
    directory: Path
    """Where journals are: `<directory>/<tenant>/<meeting>/<session>.journal`."""
    scratch: Path
    executor: Executor

    def meeting_directory(self, key: MeetingKey) -> Path:
        """Return where the journals of a meeting are."""
        return self.directory / key.tenant_id / key.meeting_id


class LiveMeeting:
    """One meeting from its first session to its end; `run` is its life."""

    def __init__(self, key: MeetingKey, surroundings: Surroundings) -> None:
        self.key = key
        self.sessions: dict[str, Session] = {}
        self.row: MeetingRow | None = None
        self.chunk_lock = asyncio.Lock()
        """Chunks are put one after another."""
        self._room = surroundings
        self._settings = surroundings.settings
        self._settler = Settler(surroundings.repository, surroundings.hub, self._settings.cursor_interval_seconds)
        self._follower = Follower(surroundings.follower, surroundings.repository, surroundings.hub, key)
        self._feeds: dict[tuple[str, int], Feed] = {}
        self._feed_tasks: list[asyncio.Task[None]] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._changed = Pulse()
        self._opening = asyncio.Lock()
        self._closing = False
        self._finish_at: float | None = None
        self._detached_at: dict[str, float] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._context = contextvars.copy_context()
        self._started_at = monotonic()

    async def run(self, ready: asyncio.Event) -> None:
        """Live until the meeting is finished and its tracks are sealed; `ready` is set when sessions may be opened.

        Raises:
            ExceptionGroup: something went wrong; a new one can go on from the journals.
        """
        # What is done here outlives the call that began it: no task inherits that call's caller or deadline.
        with logs.bind(meeting_id=self.key.meeting_id):
            self._context = contextvars.copy_context()
            try:
                async with asyncio.TaskGroup() as tasks:
                    self._tasks = tasks
                    await self._restore()
                    ready.set()
                    row = await self._understand()
                    if row is not None:
                        self._spawn(self._follower.run(row), "follow")
                        telling = self._spawn(self._tell_coverage(), "coverage")
                        await self._all_ended()
                        await self._finish()
                        telling.cancel()
                    await self._put_journals_away(remove=row is not None)
            finally:
                for session in self.sessions.values():
                    session.journal.close()

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
        """What deserves attention; empty when all is well."""
        if any(session.journal.disk_full for session in self.sessions.values()):
            return "the journals' disk is full"
        return next((feed.problem for feed in self._feeds.values() if feed.problem), "")

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
        """
        async with self._opening:
            known = self.sessions.get(session_id)
            if known is not None:
                return known
            if self._closing or self._finish_at is not None:
                raise MeetingFinished(self.key.meeting_id)
            self._check_room()
            began = datetime.fromtimestamp(start_time_ms / 1000, UTC) if start_time_ms > 0 else now()
            self.row = await self._room.repository.open_session(self.key, session_id, began)
            session = await self._open_journal(session_id)
            if self._closing:
                session.journal.close()
                raise MeetingFinished(self.key.meeting_id)
            self._adopt(session)
            self._feed_from_now_on(session)
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

    def _check_room(self) -> None:
        if len(self.sessions) >= self._settings.max_sessions_per_meeting:
            most = self._settings.max_sessions_per_meeting
            raise InvalidArgument(f"a meeting has at most {most} sessions", field="open.session_id")
        if free_megabytes(self._room.directory) < self._settings.min_free_mb:
            log.error("session_refused_disk_full")
            raise DiskFull

    async def _open_journal(self, session_id: str) -> Session:
        path = self._room.meeting_directory(self.key) / f"{session_id}{SUFFIX}"
        opening = asyncio.ensure_future(
            asyncio.to_thread(
                Session.open, self.key, session_id, path, self._settings.session_limits, self._room.executor
            )
        )
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_put_away)
            raise
        except OSError as error:
            log.error("journal_failed", error=str(error))
            if error.errno in _NO_SPACE:
                raise DiskFull from error
            raise JournalFailed(error.strerror or "the disk refuses") from error

    async def _restore(self) -> None:
        """Open the journals that are there, before anybody asks."""
        for path in sorted(self._room.meeting_directory(self.key).glob(f"*{SUFFIX}")):
            session = await self._open_journal(path.name.removesuffix(SUFFIX))
            self._adopt(session)
            log.info(
                "session_restored",
                session_id=session.session_id,
                next_sequence=session.next_sequence,
                tracks=len(session.tracks),
                ended=session.ended,
            )

    async def _understand(self) -> MeetingRow | None:
        """Learn from the store how far everything had come; None if the meeting is unknown there."""
        restored = list(self.sessions.values())
        try:
            row = await until_done("meeting", lambda: self._room.repository.meeting(self.key))
        except MeetingNotFound:
            log.error("journals_without_meeting", directory=str(self._room.meeting_directory(self.key)))
            return None
        self.row = self.row or row
        if row.over:
            self.request_finish()
        if row.state != "finished":
            for session in restored:
                await self._catch_up(session)
                self._feed_from_now_on(session)
        return self.row

    async def _catch_up(self, session: Session) -> None:
        progress = await until_done("cursors", lambda: self._room.repository.progress(self.key, session.session_id))
        for number, known in progress.items():
            track = session.tracks.get(number)
            if track is None:
                continue
            for start, end, words in known.finals:
                track.settle(start, end, words)
            track.decide(known.cursor_sample)

    def _adopt(self, session: Session) -> None:
        self.sessions[session.session_id] = session
        self._detached_at[session.session_id] = monotonic()
        self._keepers.append(self._spawn(keep_journal(session, self._settings.commit_interval_seconds), "journal"))
        self._spawn(self._keep(session), "session")

    def _feed_from_now_on(self, session: Session) -> None:
        session.on_track = self._on_track
        for track in session.tracks.values():
            self._start_feed(session, track)

    def _on_track(self, session: Session, track: Track) -> None:
        if (session.session_id, track.number) in self._feeds:
            self._spawn(self._introduce(session, track), "introduce")
        else:
            self._start_feed(session, track)

    def _start_feed(self, session: Session, track: Track) -> None:
        language = self.row.language if self.row else ""
        feed = Feed(session, track, language, self._room.recognizer, self._settler, self._settings.feed_options)
        self._feeds[session.session_id, track.number] = feed
        self._feed_tasks.append(self._spawn(self._run_feed(session, track, feed), "feed"))

    async def _run_feed(self, session: Session, track: Track, feed: Feed) -> None:
        # Segments refer to the track's row.
        await self._introduce(session, track)
        await feed.run()

    async def _introduce(self, session: Session, track: Track) -> None:
        await until_done("participants", lambda: self._room.repository.introduce(session, track))
        # Not before it is stored: who begins to watch meanwhile finds the participant in the store.
        self._room.hub.publish(self.key, pb.WatchMeetingResponse(participant=track_participant(track)))

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
            await until_done("sessions", lambda: self._room.repository.end_session(session))
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
        self.row = await until_done("meeting", lambda: self._room.repository.begin_finish(self.key))
        if self.row.state != "finished":
            self._room.hub.publish(self.key, pb.WatchMeetingResponse(meeting=meeting_message(self.row)))
            if self._feed_tasks:
                await asyncio.wait(self._feed_tasks)
            await self._settle_account()
        self._follower.end()
        await self._seal()

    async def _put_journals_away(self, *, remove: bool) -> None:
        for task in self._keepers:
            task.cancel()
        if self._keepers:
            await asyncio.wait(self._keepers)
        for session in self.sessions.values():
            if remove:
                await asyncio.to_thread(session.journal.remove)

    async def _settle_account(self) -> None:
        repository = self._room.repository
        accounts = self.accounts()
        sessions = list(self.sessions.values())
        finish = Finish(
            end_time=self._end_time(),
            duration_ms=duration_ms(sessions),
            coverage=[
                CoverageRow(one.participant_id, each.start_ms, each.end_ms, each.kind.name.lower())
                for one in accounts
                for each in one.intervals
            ],
            participants=[
                ParticipantRow(one.participant_id, one.display_name, "", "", one.joined_ms, one.left_ms)
                for one in accounts
            ],
            session_ids=[session_row_id(self.key, session.session_id) for session in sessions],
        )
        await until_done("account", lambda: repository.finish(self.key, finish))
        for one in accounts:
            for kind, milliseconds in one.sums.items():
                metrics.COVERAGE_SECONDS.labels(kind.name.lower()).inc(milliseconds / 1000)
        self.row = await until_done("meeting", lambda: repository.meeting(self.key))
        self._tell_coverage_once()
        self._room.hub.publish(self.key, pb.WatchMeetingResponse(meeting=meeting_message(self.row)))
        log.info("meeting_finished", duration_ms=finish.duration_ms, segments=self.row.segments)

    def _end_time(self) -> datetime:
        starts = [session.start_time_ms for session in self.sessions.values() if session.start_time_ms > 0]
        if not starts:
            return now()
        length = timedelta(seconds=duration_sample(self.sessions.values()) / 16_000)
        return datetime.fromtimestamp(min(starts) / 1000, UTC) + length

    async def _seal(self) -> None:
        backoff = Backoff(*_SEALING_PAUSE_SECONDS)
        for session in self.sessions.values():
            while True:
                try:
                    prefix = await seal(session, self._room.blobs, self._room.scratch)
                    break
                except (OSError, Unavailable) as error:
                    log.error("sealing_failed", session_id=session.session_id, error=str(error))
                    await backoff.pause()
            await until_done(
                "sessions",
                lambda session=session, prefix=prefix: self._room.repository.sealed(  # type: ignore[misc]
                    self.key, session.session_id, prefix
                ),
            )

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
        return self._tasks.create_task(work, name=f"ingest.{name}", context=self._context.copy())


def _put_away(opening: "asyncio.Future[Session]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().journal.close()
