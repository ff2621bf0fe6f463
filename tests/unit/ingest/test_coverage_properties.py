"""Coverage against all that clients and recognisers can do: each participant's intervals touch, never overlap, and add
up to the meeting's length."""

import itertools
import shutil
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.common.v1 import audio_pb2
from agent.ingest.v1 import audio_service_pb2 as pb
from services.ingest.coverage.accounts import coverage_message, duration_ms, participant_accounts
from services.ingest.coverage.coverage import Coverage
from services.ingest.intake.session import MeetingKey, Session, SessionLimits
from services.ingest.intake.track import Track
from services.ingest.journal.fence import Fence
from services.ingest.live.ending import finish_of
from services.ingest.timeline import MAX_AUDIO_BYTES
from tests.effort import explore

KEY = MeetingKey("t", "m")
LIMITS = SessionLimits(tracks=6, window=1_000_000, pending_bytes=1 << 40)
PEOPLE = ("anna", "boris", "vera")
MOST_SESSIONS = 3
# Lengths of every size and parity: a millisecond is 16 samples, and few spans end on one.
LENGTHS = st.one_of(st.integers(1, 40), st.sampled_from([16, 160, 320, 1_600]), st.integers(1, MAX_AUDIO_BYTES // 2))


class MeetingMachine(RuleBasedStateMachine):
    """A meeting's sessions, told what streams may bring in any order, and the recogniser's word on it."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="agent-tests-coverage-"))
        self.fence = Fence.take(self.root / "t" / "m")
        self.sessions: list[Session] = []
        self.length = 0

    def teardown(self) -> None:
        for session in self.sessions:
            session.journal.close()
        shutil.rmtree(self.root)

    # --- clients -------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.sessions) < MOST_SESSIONS)
    @rule()
    def connect(self) -> None:
        self.sessions.append(Session.open(KEY, f"s{len(self.sessions)}", self.fence, LIMITS))

    @rule(data=st.data(), who=st.sampled_from(PEOPLE), late=st.one_of(st.just(0), LENGTHS))
    def join(self, data: st.DataObject, who: str, late: int) -> None:
        """At any place of the timeline, for the first time or once more, on this session or another."""
        open_sessions = [each for each in self.sessions if not each.ended and len(each.tracks) < LIMITS.tracks]
        if open_sessions:
            session = data.draw(st.sampled_from(open_sessions))
            start = data.draw(st.sampled_from([0, session.received_sample])) + late
            number = len(session.tracks) + 1
            self.tell(session, track=pb.TrackStart(track=number, participant_id=who, start_sample=start))

    @rule(
        data=st.data(),
        samples=LENGTHS,
        kind=st.sampled_from([*audio_pb2.AudioKind.values()]),
    )
    def speak(self, data: st.DataObject, samples: int, kind: int) -> None:
        for session, track in self.some_track(data):
            frame = pb.AudioFrame(track=track.number, start_sample=track.next_sample, pcm=bytes(2 * samples))
            frame.kind = kind  # type: ignore[assignment]
            self.tell(session, audio=frame)

    @rule(data=st.data(), samples=LENGTHS, reason=st.sampled_from([*audio_pb2.GapReason.values()]))
    def gap(self, data: st.DataObject, samples: int, reason: int) -> None:
        for session, track in self.some_track(data):
            end = track.next_sample + samples
            gap = pb.AudioGap(track=track.number, start_sample=track.next_sample, end_sample=end)
            gap.reason = reason  # type: ignore[assignment]
            self.tell(session, gap=gap)

    @rule(data=st.data(), later=st.one_of(st.just(0), LENGTHS))
    def leave(self, data: st.DataObject, later: int) -> None:
        for session, track in self.some_track(data):
            self.tell(session, track_end=pb.TrackEnd(track=track.number, end_sample=track.next_sample + later))

    @rule(data=st.data(), later=st.one_of(st.just(0), LENGTHS), orderly=st.booleans())
    def end(self, data: st.DataObject, later: int, orderly: bool) -> None:
        running = [each for each in self.sessions if not each.ended]
        if running:
            session = data.draw(st.sampled_from(running))
            if orderly:
                self.tell(session, end=pb.SessionEnd(end_sample=session.received_sample + later))
            else:
                session.finish()

    # --- the recogniser ------------------------------------------------------------------------------------

    @rule(data=st.data(), share=st.floats(0, 1))
    def decide(self, data: st.DataObject, share: float) -> None:
        for _, track in self.some_track(data, running=False):
            track.decide(track.decided_sample + round(share * track.undecided_samples))

    @rule(data=st.data(), first=st.floats(0, 1), last=st.floats(0, 1))
    def settle(self, data: st.DataObject, first: float, last: float) -> None:
        """A final somewhere in what is not decided, and the cursor behind it."""
        for _, track in self.some_track(data, running=False):
            places = sorted(track.decided_sample + round(share * track.undecided_samples) for share in (first, last))
            track.settle(places[0], places[1], 1)
            track.decide(places[1])

    # --- what must hold ------------------------------------------------------------------------------------

    @invariant()
    def everything_is_accounted_for_once(self) -> None:
        length = duration_ms(self.sessions)
        assert length >= self.length, "a meeting never gets shorter"
        self.length = length
        for one in participant_accounts(self.sessions):
            position = 0
            for interval in one.intervals:
                assert interval.start_ms == position < interval.end_ms
                position = interval.end_ms
            assert position == length
            assert all(one.kind is not other.kind for one, other in itertools.pairwise(one.intervals))
            message = coverage_message(one, intervals=True)
            totals = message.coverage_ms
            parts = [getattr(totals, field.name) for field in totals.DESCRIPTOR.fields]
            assert len(parts) == 7
            assert sum(parts) + message.absent_ms == length
            assert sum(each.end_ms - each.start_ms for each in message.intervals) + message.absent_ms == length

    @invariant()
    def nothing_is_pending_once_all_is_over_and_decided(self) -> None:
        tracks = [track for session in self.sessions for track in session.tracks.values()]
        if all(session.ended for session in self.sessions) and not any(track.undecided_samples for track in tracks):
            for one in participant_accounts(self.sessions):
                assert one.sums[Coverage.PENDING] == 0

    @invariant()
    def what_is_stored_says_the_same(self) -> None:
        accounts = participant_accounts(self.sessions)
        stored = finish_of(KEY, self.sessions, accounts)
        for one in accounts:
            rows = [row for row in stored.coverage if row.participant_id == one.participant_id]
            assert sum(row.end_ms - row.start_ms for row in rows) == stored.duration_ms == self.length

    # --- means ---------------------------------------------------------------------------------------------

    def some_track(self, data: st.DataObject, *, running: bool = True) -> list[tuple[Session, Track]]:
        """Return one of the tracks, none if there is none."""
        tracks = [
            (session, track)
            for session in self.sessions
            for track in session.tracks.values()
            if not running or (track.end_sample is None and not session.ended)
        ]
        return [data.draw(st.sampled_from(tracks))] if tracks else []

    @staticmethod
    def tell(session: Session, **message: object) -> None:
        assert session.accept(pb.StreamAudioRequest(sequence=session.next_sequence, **message))  # type: ignore[arg-type]


def test_every_millisecond_is_accounted_for_whatever_happens() -> None:
    explore(MeetingMachine, examples=60, steps=40)
