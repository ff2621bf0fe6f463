"""Alarms: who is told what, when it begins and when it is over."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from agent.common.v1 import audio_pb2
from agent.ingest.v1 import audio_service_pb2 as pb
from agent.ingest.v1 import meeting_service_pb2 as mpb
from services.ingest.intake.session import MeetingKey, Session, SessionLimits
from services.ingest.journal.fence import Fence
from services.ingest.live.alarms import Alarms, Told
from services.ingest.watching.hub import Hub

KEY = MeetingKey("t", "m")
SECOND = 16_000


@dataclass
class Meeting:
    """Sessions whose clients are there, and alarms that look at times that the test names."""

    fence: Fence
    sessions: dict[str, Session] = field(default_factory=dict)
    recognition: str = ""
    disk_low: bool = False
    now: float = 100.0

    def __post_init__(self) -> None:
        self.hub = Hub()
        self.alarms = Alarms(
            KEY, self.sessions, self.hub, recognition=lambda: self.recognition, disk_low=lambda: self.disk_low
        )

    def session(self, name: str = "s", *, connected: bool = True) -> Session:
        session = self.sessions[name] = Session.open(KEY, name, self.fence, SessionLimits(window=10_000))
        if connected:
            session.attach(pb.SessionOpen(meeting_id="m", session_id=name, epoch=1), object())
        return session

    def join(self, session: Session, who: str) -> int:
        number = len(session.tracks) + 1
        self.tell(session, track=pb.TrackStart(track=number, participant_id=who, display_name=who.title()))
        return number

    def say(self, session: Session, number: int, seconds: float, *, alive: bool) -> None:
        for place in range(round(seconds * 2)):
            noise = np.random.default_rng(place).normal(0, 300, SECOND // 2).astype("<i2")
            pcm = noise.tobytes() if alive else bytes(SECOND)
            start = session.tracks[number].next_sample
            self.tell(session, audio=pb.AudioFrame(track=number, start_sample=start, pcm=pcm))

    def lose(self, session: Session, number: int, seconds: int) -> None:
        start = session.tracks[number].next_sample
        gap = pb.AudioGap(track=number, start_sample=start, end_sample=start + seconds * SECOND)
        gap.reason = audio_pb2.GAP_REASON_AWAY
        self.tell(session, gap=gap)

    @staticmethod
    def tell(session: Session, **message: object) -> None:
        session.accept(pb.StreamAudioRequest(sequence=session.next_sequence, **message))  # type: ignore[arg-type]

    def look(self, after_seconds: float = 2.0) -> list[tuple[str, str]]:
        self.now += after_seconds
        self.alarms.look(self.now)
        return [(warning.kind, warning.participant_id) for warning in self.alarms.warnings]


@pytest.fixture
def meeting(tmp_path: Path) -> Iterator[Meeting]:
    made = Meeting(Fence.take(tmp_path / "t" / "m"))
    yield made
    for session in made.sessions.values():
        session.journal.close()


def test_watchers_hear_when_it_begins_and_when_it_is_over(meeting: Meeting) -> None:
    session = meeting.session()
    anna = meeting.join(session, "anna")
    heard: list[mpb.MeetingWarning] = []
    with meeting.hub.subscribe(KEY) as subscription:
        subscription.offer = lambda event: heard.append(event.warning)  # type: ignore[method-assign]
        meeting.say(session, anna, 21, alive=False)
        assert meeting.look() == [("silent_capture", "anna")]
        assert meeting.look() == [("silent_capture", "anna")]
        assert meeting.alarms.note(named=True) == "dead microphone: Anna"
        assert meeting.alarms.note(named=False) == "dead microphone: anna"
        meeting.say(session, anna, 1, alive=True)
        assert meeting.look() == []
    assert [(each.cleared, each.since_ms) for each in heard] == [(False, 0), (True, 0)]


def test_who_is_alive_on_one_track_may_be_still_on_another(meeting: Meeting) -> None:
    session = meeting.session()
    microphone, screen = meeting.join(session, "anna"), meeting.join(session, "anna")
    meeting.say(session, screen, 25, alive=False)
    meeting.say(session, microphone, 25, alive=True)
    assert meeting.look() == []
    meeting.say(session, microphone, 25, alive=False)
    assert meeting.look() == [("silent_capture", "anna")]


def test_who_came_back_on_another_session_is_judged_by_that(meeting: Meeting) -> None:
    lost = meeting.session("lost", connected=False)
    track = meeting.join(lost, "anna")
    meeting.say(lost, track, 5, alive=True)
    again = meeting.session("again")
    track = meeting.join(again, "anna")
    meeting.say(again, track, 21, alive=False)
    assert meeting.look() == [("silent_capture", "anna")]


def test_nothing_for_20_seconds_from_a_client_that_is_there_is_no_audio(meeting: Meeting) -> None:
    session = meeting.session()
    anna = meeting.join(session, "anna")
    meeting.say(session, anna, 1, alive=True)
    assert meeting.look(0) == []
    assert meeting.look(19) == []
    assert meeting.look(1) == [("no_audio", "anna")]
    assert meeting.alarms.warnings[0].since_ms == 1_000
    meeting.say(session, anna, 1, alive=True)
    assert meeting.look() == []
    meeting.tell(session, track_end=pb.TrackEnd(track=anna, end_sample=SECOND * 2))
    assert meeting.look(100) == []


def test_a_client_that_is_away_owes_nothing(meeting: Meeting) -> None:
    session = meeting.session(connected=False)
    meeting.join(session, "anna")
    meeting.look()
    assert meeting.look(100) == []


def test_recognition_is_away_when_it_still_is_a_moment_later(meeting: Meeting) -> None:
    meeting.session()
    meeting.recognition = "speech recognition is away"
    assert meeting.look() == []
    assert meeting.look() == [("recognition_away", "")]
    meeting.recognition = ""
    assert meeting.look() == []


def test_a_disk_that_is_low_concerns_those_who_are_recorded(meeting: Meeting) -> None:
    meeting.disk_low = True
    assert meeting.look() == []
    meeting.session()
    assert meeting.look() == [("journal_disk_full", "")]


def test_pending_stalled_and_lost_are_measured_while_the_meeting_lives(meeting: Meeting) -> None:
    session = meeting.session()
    anna, boris = meeting.join(session, "anna"), meeting.join(session, "boris")
    meeting.say(session, anna, 4, alive=True)
    meeting.lose(session, boris, 3)
    meeting.say(session, boris, 2, alive=True)
    meeting.lose(session, boris, 1)
    session.tracks[boris].decide(session.tracks[boris].next_sample)
    meeting.look()
    assert meeting.alarms.pending_seconds == 4
    assert meeting.alarms.lost_seconds == 4
    meeting.look(30)
    assert meeting.alarms.stalled_seconds == 30
    session.tracks[anna].decide(SECOND)
    meeting.look(10)
    assert meeting.alarms.stalled_seconds == 0
    assert meeting.alarms.pending_seconds == 3
    meeting.lose(session, boris, 2)
    meeting.look()
    assert meeting.alarms.lost_seconds == 6


def test_a_watcher_hears_what_changed_since_it_was_told_last() -> None:
    told = Told()
    silent = mpb.MeetingWarning(kind="silent_capture", participant_id="anna")
    away = mpb.MeetingWarning(kind="recognition_away")
    assert told.catch_up([silent]) == [silent]
    assert told.catch_up([silent, away]) == [away]
    told.take(mpb.MeetingWarning(kind="recognition_away", cleared=True))
    assert list(told) == [silent]
    assert told.catch_up() == [mpb.MeetingWarning(kind="silent_capture", participant_id="anna", cleared=True)]
    assert told.catch_up() == []
