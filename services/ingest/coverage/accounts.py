"""Accounts: the tracks of a meeting's sessions put together, per participant, for the coverage."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.common.v1 import transcript_pb2 as transcript
from services.ingest.coverage.coverage import Coverage, Interval, TrackAccount, account, totals
from services.ingest.intake.session import Session
from services.ingest.intake.track import Track
from services.ingest.timeline import milliseconds_of


@dataclass(frozen=True, slots=True)
class ParticipantAccount:
    """One participant's time; the intervals touch and reach from 0 to the meeting's length."""

    participant_id: str
    display_name: str
    intervals: Sequence[Interval]

    @property
    def sums(self) -> Mapping[Coverage, int]:
        """Milliseconds of each kind."""
        return totals(self.intervals)

    @property
    def joined_ms(self) -> int:
        """When they first joined."""
        return next((each.start_ms for each in self.intervals if each.kind is not Coverage.ABSENT), 0)

    @property
    def left_ms(self) -> int:
        """When they last left."""
        return next((each.end_ms for each in reversed(self.intervals) if each.kind is not Coverage.ABSENT), 0)


def duration_sample(sessions: Iterable[Session]) -> int:
    """Return the length of the meeting so far, in samples."""
    return max((max(session.end_sample or 0, session.received_sample) for session in sessions), default=0)


def participant_accounts(sessions: Sequence[Session]) -> list[ParticipantAccount]:
    """Return the account of every participant, in the order they were first heard of."""
    duration = duration_sample(sessions)
    tracks: dict[str, list[tuple[Session, Track]]] = {}
    for session in sessions:
        for track in session.tracks.values():
            tracks.setdefault(track.participant_id, []).append((session, track))
    return [
        ParticipantAccount(
            participant_id=participant_id,
            display_name=theirs[-1][1].display_name,
            intervals=account(
                [_account(session, track, [other for _, other in theirs], duration) for session, track in theirs],
                duration,
            ),
        )
        for participant_id, theirs in tracks.items()
    ]


def _account(session: Session, track: Track, siblings: Sequence[Track], duration: int) -> TrackAccount:
    if track.end_sample is not None:
        end = track.end_sample
    else:
        # Who did not say goodbye was there to the session's end, and if it broke off, until they came back on another
        # track. A session that is open may still bring what happens now.
        returned = [
            other.start_sample for other in siblings if other is not track and other.start_sample >= track.next_sample
        ]
        session_end = duration if session.end_sample is None else session.end_sample
        end = min(returned) if returned and session.abandoned else min([session_end, *returned])
    return TrackAccount(
        start=track.start_sample,
        end=max(end, track.next_sample),
        spans=track.spans,
        decided=track.decided_sample,
        finals=track.finals,
        open=session.end_sample is None,
    )


def coverage_message(one: ParticipantAccount, *, intervals: bool) -> transcript.ParticipantCoverage:
    """Return the account as a message of the contract."""
    sums = one.sums
    return transcript.ParticipantCoverage(
        participant_id=one.participant_id,
        display_name=one.display_name,
        coverage_ms=transcript.CoverageTotals(
            transcribed=sums[Coverage.TRANSCRIBED],
            silent=sums[Coverage.SILENT],
            muted=sums[Coverage.MUTED],
            concealed=sums[Coverage.CONCEALED],
            lost=sums[Coverage.LOST],
            pending=sums[Coverage.PENDING],
            withdrawn=sums[Coverage.WITHDRAWN],
        ),
        absent_ms=sums[Coverage.ABSENT],
        intervals=[
            transcript.CoverageInterval(kind=COVERAGE_KINDS[each.kind], start_ms=each.start_ms, end_ms=each.end_ms)
            for each in one.intervals
            if intervals and each.kind is not Coverage.ABSENT
        ],
    )


COVERAGE_KINDS = {
    Coverage.TRANSCRIBED: transcript.COVERAGE_KIND_TRANSCRIBED,
    Coverage.SILENT: transcript.COVERAGE_KIND_SILENT,
    Coverage.MUTED: transcript.COVERAGE_KIND_MUTED,
    Coverage.CONCEALED: transcript.COVERAGE_KIND_CONCEALED,
    Coverage.LOST: transcript.COVERAGE_KIND_LOST,
    Coverage.PENDING: transcript.COVERAGE_KIND_PENDING,
    Coverage.WITHDRAWN: transcript.COVERAGE_KIND_WITHDRAWN,
}


def duration_ms(sessions: Iterable[Session]) -> int:
    """Return the length of the meeting so far, in milliseconds."""
    return milliseconds_of(duration_sample(sessions))
