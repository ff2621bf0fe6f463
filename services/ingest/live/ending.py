"""The end of a meeting: its account and the wish for a report stored, its tracks sealed."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from kit.clock import now
from kit.errors import Unavailable
from kit.telemetry import logs
from services.ingest import metrics
from services.ingest.coverage.accounts import ParticipantAccount, duration_ms, duration_sample
from services.ingest.errors import Fenced
from services.ingest.intake.session import MeetingKey, Session
from services.ingest.journal.fence import Fence
from services.ingest.live.surroundings import Surroundings
from services.ingest.recordings.sealing import seal
from services.ingest.repository import session_row_id
from services.ingest.retry import Backoff, until_done
from services.ingest.rows import CoverageRow, Finish, ParticipantRow, Tenure
from services.ingest.timeline import SAMPLE_RATE_HERTZ

_SEALING_PAUSE_SECONDS = (1.0, 60.0)

log = logs.get()


def finish_of(key: MeetingKey, sessions: Sequence[Session], accounts: Sequence[ParticipantAccount]) -> Finish:
    """Return what is stored of a meeting whose sessions have ended and whose last word is settled."""
    return Finish(
        end_time=_end_time(sessions),
        duration_ms=duration_ms(sessions),
        coverage=[
            CoverageRow(one.participant_id, each.start_ms, each.end_ms, each.kind.name.lower())
            for one in accounts
            for each in one.intervals
        ],
        participants=[
            ParticipantRow(one.participant_id, one.display_name, "", "", one.joined_ms, one.left_ms) for one in accounts
        ],
        session_ids=[session_row_id(key, session.session_id) for session in sessions],
    )


def count_coverage(accounts: Sequence[ParticipantAccount]) -> None:
    """Put a finished meeting's account into the metrics."""
    for one in accounts:
        for kind, milliseconds in one.sums.items():
            metrics.COVERAGE_SECONDS.labels(kind.name.lower()).inc(milliseconds / 1000)


async def seal_sessions(tenure: Tenure, sessions: Sequence[Session], fence: Fence, room: Surroundings) -> None:
    """Put every track into the blob store and note where, however long that takes.

    Raises:
        Fenced: the meeting is another replica's, or over.
        MeetingNotFound: it was erased.
    """
    backoff = Backoff(*_SEALING_PAUSE_SECONDS)
    for session in sessions:
        while True:
            try:
                prefix = await seal(session, room.blobs, room.scratch)
                break
            except Fenced:
                raise
            except (OSError, Unavailable) as error:
                log.error("sealing_failed", session_id=session.session_id, error=str(error))
                await asyncio.to_thread(fence.check)
                await backoff.pause()
        await until_done("sessions", partial(room.live_repository.sealed, tenure, session.session_id, prefix))


def _end_time(sessions: Sequence[Session]) -> datetime:
    starts = [session.start_time_ms for session in sessions if session.start_time_ms > 0]
    if not starts:
        return now()
    length = timedelta(seconds=duration_sample(sessions) / SAMPLE_RATE_HERTZ)
    return datetime.fromtimestamp(min(starts) / 1000, UTC) + length
