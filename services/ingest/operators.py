"""What operators see of the room: readiness, and the meetings that are live."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from agent.ops.v1 import ops_service_pb2 as ops
from kit.clock import monotonic
from kit.db.engine import DatabaseUnavailable
from kit.ops.sources import Check
from kit.ops.storage import StorageWatch
from services.ingest import metrics
from services.ingest.coverage.coverage import Coverage
from services.ingest.journal.journal import free_megabytes
from services.ingest.live.alarms import KINDS
from services.ingest.live.meeting import CHUNK_SESSION, LiveMeeting
from services.ingest.live.meetings import LiveMeetings
from services.ingest.repository import IngestRepository

_STALLED_SECONDS = 5.0
_MEBIBYTE = 1024 * 1024


class RoomWatch:
    """The room's sources for OpsService."""

    def __init__(
        self,
        repository: IngestRepository,
        meetings: LiveMeetings,
        directory: Path,
        min_free_megabytes: int,
        storage: StorageWatch,
    ) -> None:
        self._repository = repository
        self._meetings = meetings
        self._directory = directory
        self._min_free_megabytes = min_free_megabytes
        self._storage = storage
        # A counter that is not there before its first increase hides that increase from alert rules.
        for kind in KINDS:
            metrics.WARNINGS_RAISED.labels(kind)
        for became in Coverage:
            metrics.COVERAGE_SECONDS.labels(became.name.lower())

    async def readiness(self) -> Sequence[Check]:
        """Check the database, the journals' disk, the blob store and speech recognition.

        None of them stops the room: running sessions are journalled and acknowledged without any of them.
        """
        self._observe()
        return [await self._database(), self._disk(), await self._storage.check(critical=False), self._speech()]

    async def _database(self) -> Check:
        try:
            await self._repository.ping()
        except DatabaseUnavailable:
            said = "PostgreSQL cannot be reached: text waits, audio is taken; check DATABASE_URL and the server"
            return Check("database", False, said, critical=False)
        return Check("database", True)

    def _observe(self) -> None:
        """Put how things stand into the metrics; scrapers read them from another thread."""
        alarms = [live.alarms for live in self._meetings]
        metrics.LAG_SECONDS.set(max((live.lag_ms for live in self._meetings), default=0) / 1000)
        metrics.PENDING_SECONDS.set(sum(each.pending_seconds for each in alarms))
        metrics.PENDING_STALLED_SECONDS.set(max((each.stalled_seconds for each in alarms), default=0))
        metrics.LOST_SECONDS.set(sum(each.lost_seconds for each in alarms))
        held = Counter(warning.kind for each in alarms for warning in each.warnings)
        for kind in KINDS:
            metrics.WARNINGS.labels(kind).set(held[kind])

    def _disk(self) -> Check:
        free = free_megabytes(self._directory)
        metrics.DISK_FREE_BYTES.set(free * _MEBIBYTE)
        metrics.DISK_MIN_FREE_BYTES.set(self._min_free_megabytes * _MEBIBYTE)
        if free < self._min_free_megabytes:
            said = (
                f"{free:.0f} MiB are free for journals: new sessions are refused; make room or lower INGEST_MIN_FREE_MB"
            )
            return Check("journal disk", False, said, critical=False)
        return Check("journal disk", True)

    def _speech(self) -> Check:
        problem = next((live.recognition_problem for live in self._meetings if live.recognition_problem), "")
        return Check("speech recognition", not problem, problem, critical=False)

    async def sessions(self) -> Sequence[ops.SessionStatus]:
        """Tell every meeting that is live or being finished."""
        return [_status(live) for live in self._meetings]

    def detail(self) -> str:
        """Tell in one line how much is going on."""
        live = [meeting for meeting in self._meetings if not meeting.finishing]
        return f"{len(live)} live, {len(list(self._meetings)) - len(live)} being finished"


def _status(live: LiveMeeting) -> ops.SessionStatus:
    sessions = list(live.sessions.values())
    tracks = [track for session in sessions for track in session.tracks.values()]
    return ops.SessionStatus(
        meeting_id=live.key.meeting_id,
        title=live.row.title if live.row else "",
        state=_state(live),
        provider=live.row.provider if live.row else "",
        tracks=len({track.participant_id for track in tracks if track.end_sample is None}),
        level=max((session.level for session in sessions), default=0),
        lag_ms=live.lag_ms,
        words=sum(track.words for track in tracks),
        age_seconds=live.age_seconds,
        note=live.note,
    )


def _state(live: LiveMeeting) -> str:
    if live.finishing:
        return "ENDED"
    going = [session for session in live.sessions.values() if not session.ended]
    if not going:
        return "CONNECT"
    if not any(session.connected or session.session_id == CHUNK_SESSION for session in going):
        return "RECONN"
    if all(monotonic() - session.last_audio_at > _STALLED_SECONDS for session in going):
        return "STALLED"
    return "DEGRADED" if live.problem else "LIVE"
