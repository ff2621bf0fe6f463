"""Accounts: what is known of a participant's time between their tracks."""

from dataclasses import dataclass, field

from services.ingest.coverage.accounts import participant_accounts
from services.ingest.coverage.coverage import Coverage, Interval
from services.ingest.intake.session import MeetingKey, Session, SessionLimits
from services.ingest.intake.track import Span, SpanKind, Track

SECOND = 16_000


@dataclass
class Heard:
    """A track that was heard from start to end, in seconds, and decided."""

    start: int
    end: int
    left: bool = False
    participant: str = "anna"
    finals: list[tuple[int, int]] = field(default_factory=list)


def session(*tracks: Heard, end: int | None, abandoned: bool = False) -> Session:
    made = Session(MeetingKey("default", "m"), "s", SessionLimits())
    made.end_sample = None if end is None else end * SECOND
    made.abandoned = abandoned
    for number, each in enumerate(tracks, 1):
        made.tracks[number] = Track(
            number=number,
            participant_id=each.participant,
            display_name=each.participant.title(),
            basis="own_track",
            language="",
            start_sample=each.start * SECOND,
            next_sample=each.end * SECOND,
            end_sample=each.end * SECOND if each.left else None,
            spans=[Span(each.start * SECOND, each.end * SECOND, SpanKind.HEARD)],
            decided_sample=each.end * SECOND,
        )
    return made


def kinds(*sessions: Session) -> list[tuple[int, int, Coverage]]:
    (anna,) = participant_accounts(sessions)
    return [_in_seconds(interval) for interval in anna.intervals]


def _in_seconds(interval: Interval) -> tuple[int, int, Coverage]:
    return interval.start_ms // 1000, interval.end_ms // 1000, interval.kind


def test_who_left_is_absent_until_they_come_back() -> None:
    assert kinds(session(Heard(0, 10, left=True), Heard(30, 40, left=True), end=40)) == [
        (0, 10, Coverage.SILENT),
        (10, 30, Coverage.ABSENT),
        (30, 40, Coverage.SILENT),
    ]


def test_who_was_cut_off_by_a_lost_session_was_there_until_they_came_back() -> None:
    lost = session(Heard(0, 10), end=10, abandoned=True)
    assert kinds(lost, session(Heard(30, 40, left=True), end=40)) == [
        (0, 10, Coverage.SILENT),
        (10, 30, Coverage.LOST),
        (30, 40, Coverage.SILENT),
    ]


def test_a_session_that_ended_in_order_says_that_nobody_was_there_after_it() -> None:
    assert kinds(session(Heard(0, 10), end=12), session(Heard(30, 40, left=True), end=40)) == [
        (0, 10, Coverage.SILENT),
        (10, 12, Coverage.LOST),
        (12, 30, Coverage.ABSENT),
        (30, 40, Coverage.SILENT),
    ]


def test_what_may_still_come_in_an_open_session_is_pending() -> None:
    behind = session(Heard(0, 10), Heard(0, 15, participant="boris"), end=None)
    anna, boris = participant_accounts([behind])
    assert [_in_seconds(each) for each in anna.intervals] == [(0, 10, Coverage.SILENT), (10, 15, Coverage.PENDING)]
    assert [_in_seconds(each) for each in boris.intervals] == [(0, 15, Coverage.SILENT)]
    assert (anna.joined_ms, anna.left_ms) == (0, 15_000)


def test_a_meeting_without_tracks_has_no_accounts() -> None:
    assert participant_accounts([session(end=0)]) == []
