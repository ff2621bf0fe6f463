"""A session against a model: whatever a client sends, in whatever order and over whatever connections, what is taken is
the sequence without holes and doubles, and what was said to be durable survives every crash and every takeover."""

import asyncio
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.ingest.v1 import audio_service_pb2 as pb
from kit.errors import AppError, InvalidArgument
from services.ingest.errors import (
    EpochFenced,
    Fenced,
    MeetingFinished,
    MessageTooLarge,
    SampleGap,
    SequenceGap,
    StreamProtocolBroken,
    TrackUnknown,
)
from services.ingest.intake.session import MeetingKey, Session, SessionLimits
from services.ingest.journal.fence import Fence
from services.ingest.journal.part import SUFFIX
from services.ingest.journal.record import MAX_PAYLOAD_BYTES, RecordKind
from services.ingest.timeline import MAX_AUDIO_BYTES
from tests.effort import explore

KEY = MeetingKey("t", "m")
LIMITS = SessionLimits(tracks=3, window=12, pending_bytes=200_000)
NEVER = 1 << 40
TRACKS = (1, 2, 3, 4)
NAMES = ("anna", "boris")


@dataclass
class ModelTrack:
    participant: str
    next_sample: int
    ended: bool = False


@dataclass
class Told:
    """What a session that was told these messages must be."""

    requests: list[pb.StreamAudioRequest] = field(default_factory=list)
    tracks: dict[int, ModelTrack] = field(default_factory=dict)
    ended: bool = False

    @property
    def next_sequence(self) -> int:
        return len(self.requests) + 1

    @property
    def received(self) -> int:
        return max((track.next_sample for track in self.tracks.values()), default=0)

    def verdict(self, request: pb.StreamAudioRequest) -> AppError | bool:
        """Return whether the message counts, or what it must be refused with."""
        kind = request.WhichOneof("message")
        if kind in (None, "open"):
            return StreamProtocolBroken("", "")
        if request.sequence == 0:
            return InvalidArgument()
        if request.sequence < self.next_sequence:
            return False
        if self.ended:
            return MeetingFinished(KEY.meeting_id)
        if request.sequence > self.next_sequence:
            return SequenceGap(self.next_sequence, request.sequence - 1)
        message = getattr(request, kind)
        if message.ByteSize() > MAX_PAYLOAD_BYTES:
            return MessageTooLarge("", 0)
        if kind == "end":
            return True if message.end_sample < NEVER else InvalidArgument()
        track = self.tracks.get(message.track)
        if kind == "track":
            return self.introduction(message, track)
        if kind == "audio" and len(message.pcm) > MAX_AUDIO_BYTES:
            return MessageTooLarge("", 0)
        if kind == "audio" and (not message.pcm or len(message.pcm) % 2):
            return InvalidArgument()
        if track is None or track.ended:
            return TrackUnknown(message.track)
        if kind == "track_end":
            if message.end_sample < track.next_sample:
                return SampleGap(message.track, track.next_sample, message.end_sample)
            return True
        if message.start_sample != track.next_sample:
            return SampleGap(message.track, track.next_sample, message.start_sample)
        if kind == "gap" and not message.start_sample < message.end_sample < NEVER:
            return InvalidArgument()
        return True

    def introduction(self, message: pb.TrackStart, known: ModelTrack | None) -> AppError | bool:
        if message.track == 0 or not message.participant_id:
            return InvalidArgument()
        if known is None:
            return True if len(self.tracks) < LIMITS.tracks else InvalidArgument()
        if known.ended:
            return TrackUnknown(message.track)
        return True if known.participant == message.participant_id else StreamProtocolBroken("", "")

    def take(self, request: pb.StreamAudioRequest) -> None:
        self.requests.append(request)
        match request.WhichOneof("message"):
            case "track" if request.track.track not in self.tracks:
                self.tracks[request.track.track] = ModelTrack(request.track.participant_id, request.track.start_sample)
            case "audio":
                self.tracks[request.audio.track].next_sample += len(request.audio.pcm) // 2
            case "gap":
                self.tracks[request.gap.track].next_sample = request.gap.end_sample
            case "track_end":
                self.tracks[request.track_end.track].ended = True
            case "end":
                self.ended = True


class SessionMachine(RuleBasedStateMachine):
    """One client, its connections, and the replicas that its session lives on, one after another."""

    def __init__(self, runner: asyncio.Runner, executor: ThreadPoolExecutor) -> None:
        super().__init__()
        self.runner = runner
        self.executor = executor
        self.root = Path(tempfile.mkdtemp(prefix="agent-tests-session-"))
        self.directory = self.root / "t" / "m"
        self.told = Told()
        self.history: list[pb.StreamAudioRequest] = []
        """What the client has sent under each number. It sends the same again, whoever asks, from `promised` on."""
        self.promised = 0
        """What the client was told to be durable; it has forgotten that."""
        self.epoch = self.promised_epoch = 0
        self.connection: object | None = None
        self.abandoned = self.end_promised = False
        self.zombies: list[Session] = []
        self.whole: dict[Path, int] = {}
        """Bytes of files that no crash takes back any more."""
        self.open()

    # --- the disk ------------------------------------------------------------------------------------------

    def open(self) -> None:
        self.fence = Fence.take(self.directory)
        self.session = Session.open(KEY, "s", self.fence, LIMITS, self.executor)
        self.connection = None

    async def commit(self, session: Session) -> None:
        committing = asyncio.create_task(session.journal.commit_forever(0), name="tests.commit")
        try:
            await session.settled()
        finally:
            committing.cancel()
            await asyncio.wait([committing])
            committing.cancelled() or committing.exception()

    def keep(self) -> None:
        """Note that nothing that is in the files now may be lost any more."""
        self.whole = {path: path.stat().st_size for path in self.directory.glob(f"*{SUFFIX}")}

    def tear(self, data: st.DataObject) -> None:
        """Take back or spoil what a power cut may, behind what was synced."""
        for path in sorted(self.directory.glob(f"*{SUFFIX}")):
            whole, size = self.whole.get(path, 0), path.stat().st_size
            if size <= whole:
                continue
            cut = data.draw(st.integers(whole, size))
            tail = data.draw(st.sampled_from([b"", b"\0" * (size - cut), b"\x55" * (size - cut)]))
            content = path.read_bytes()[:cut] + tail
            if not whole and not data.draw(st.booleans()):
                path.unlink()
            elif whole or b"\x55" not in tail[: max(0, 8 - cut)]:
                path.write_bytes(content)

    # --- the client ----------------------------------------------------------------------------------------

    @rule(step=st.sampled_from([1, 1, 1, 2, 0, -1]))
    def connect(self, step: int) -> None:
        if self.session.ended:  # then there is nothing to attach to; the client is told where it ended
            self.settle()
            self.resume()
            return
        epoch = max(0, self.epoch + step)
        before, connection = self.connection, object()
        opening = pb.SessionOpen(meeting_id="m", session_id="s", epoch=epoch, start_time_ms=1_000)
        if epoch < self.epoch or (epoch == self.epoch and before is not None):
            with pytest.raises(EpochFenced) as caught:
                self.session.attach(opening, connection)
            assert caught.value.metadata == {"epoch": str(epoch), "current": str(self.epoch)}
            assert not self.session.holds(connection)
            return
        self.session.attach(opening, connection)
        assert self.session.holds(connection)
        assert before is None or not self.session.holds(before)
        self.connection, self.epoch = connection, epoch
        self.settle()
        self.resume()

    def resume(self) -> None:
        """Go on where the server says: it must be within what the client still has."""
        assert self.promised < self.session.next_sequence <= len(self.history) + 1
        self.promised = self.session.next_sequence - 1

    @precondition(lambda self: self.connection is not None)
    @rule()
    def disconnect(self) -> None:
        self.session.detach(self.connection)
        assert not self.session.connected
        self.connection = None

    @precondition(lambda self: self.connection is not None)
    @rule(count=st.integers(1, 6))
    def resend(self, count: int) -> None:
        """Send again what is not known to be durable, taken or not, as after a reconnect."""
        for request in self.history[self.promised : self.promised + count]:
            self.send(request)

    @precondition(lambda self: self.connection is not None)
    @rule(data=st.data(), samples=st.integers(1, 2_000))
    def speak(self, data: st.DataObject, samples: int) -> None:
        """What a client in good order sends: the next samples of a track that it has introduced."""
        running = [number for number, track in self.told.tracks.items() if not track.ended]
        if self.told.ended or not running:
            number = data.draw(st.sampled_from(TRACKS))
            message = pb.StreamAudioRequest(track=pb.TrackStart(track=number, participant_id=NAMES[number % 2]))
        else:
            number = data.draw(st.sampled_from(running))
            start = self.told.tracks[number].next_sample
            pcm = number.to_bytes(2, "little") * samples
            message = pb.StreamAudioRequest(audio=pb.AudioFrame(track=number, start_sample=start, pcm=pcm))
        self.send_next(message)

    @precondition(lambda self: self.connection is not None)
    @rule(
        kind=st.sampled_from(["track", "gap", "track_end", "audio", "audio", "end", "open", ""]),
        number=st.sampled_from((*TRACKS, 0)),
        off=st.sampled_from([0, 0, 0, 1, -1, 1_600, NEVER]),
        size=st.sampled_from([2, 320, 1, 0, MAX_AUDIO_BYTES, MAX_AUDIO_BYTES + 2]),
        name=st.sampled_from((*NAMES, "")),
        skipped=st.sampled_from([0, 0, 0, 0, 1, 5, -1, -3]),
    )
    def send_anything(self, kind: str, number: int, off: int, size: int, name: str, skipped: int) -> None:
        track = self.told.tracks.get(number)
        start = (track.next_sample if track is not None else 0) + off
        messages: dict[str, dict[str, Any]] = {
            "track": {"track": pb.TrackStart(track=number, participant_id=name)},
            "audio": {"audio": pb.AudioFrame(track=number, start_sample=start, pcm=bytes(size))},
            "gap": {"gap": pb.AudioGap(track=number, start_sample=start, end_sample=start + size)},
            "track_end": {"track_end": pb.TrackEnd(track=number, end_sample=start)},
            "end": {"end": pb.SessionEnd(end_sample=self.told.received + off)},
            "open": {"open": pb.SessionOpen(epoch=9)},
            "": {},
        }
        message = pb.StreamAudioRequest(**messages[kind])
        if off == NEVER and kind == "track_end":
            return  # beyond the timeline, which the unit tests of the contract have
        if skipped:
            message.sequence = max(0, self.told.next_sequence + skipped)
            self.send(message)
        else:
            self.send_next(message)

    @precondition(lambda self: self.connection is not None and not self.told.ended)
    @rule(extra=st.sampled_from([10, MAX_PAYLOAD_BYTES - 100, MAX_PAYLOAD_BYTES + 1]), number=st.sampled_from(TRACKS))
    def send_more_than_the_contract_knows(self, extra: int, number: int) -> None:
        """Fields of a newer contract are kept with the message; together they may be too much for a record."""
        unknown = bytes([0xFA, 0x7F]) + _varint(extra) + bytes(extra)
        start = pb.TrackStart(track=number, participant_id=NAMES[number % 2]).SerializeToString() + unknown
        self.send_next(pb.StreamAudioRequest(track=pb.TrackStart.FromString(start)))

    def send_next(self, message: pb.StreamAudioRequest) -> None:
        """Send a message with the next number."""
        message.sequence = self.told.next_sequence
        self.send(message)

    def send(self, request: pb.StreamAudioRequest) -> None:
        """The server's side of a message, as a stream does it: room first."""
        if 0 < request.sequence <= len(self.history):
            request = self.history[request.sequence - 1]
        if self.session.unacknowledged >= LIMITS.window or self.session.journal.pending_bytes >= LIMITS.pending_bytes:
            assert not self.has_room()
            self.settle()
        assert self.has_room()
        verdict = self.told.verdict(request)
        if isinstance(verdict, AppError):
            self.refused(request, verdict)
            return
        assert self.session.accept(request) is verdict
        if verdict:
            self.told.take(request)
            if request.sequence > len(self.history):
                self.history.append(request)

    def has_room(self) -> bool:
        async def room() -> bool:
            try:
                async with asyncio.timeout(0):
                    await self.session.room()
            except TimeoutError:
                return False
            return True

        return self.runner.run(room())

    def refused(self, request: pb.StreamAudioRequest, verdict: AppError) -> None:
        """A refusal names what is missing, and nothing of the message is taken."""
        before = (self.session.next_sequence, self.session.journal.end_offset, deepcopy(self.session.tracks))
        with pytest.raises(AppError) as caught:
            self.session.accept(request)
        assert type(caught.value) is type(verdict)
        if isinstance(verdict, SequenceGap | SampleGap):
            assert caught.value.metadata == verdict.metadata
        assert (self.session.next_sequence, self.session.journal.end_offset, self.session.tracks) == before

    # --- the server ----------------------------------------------------------------------------------------

    @rule()
    def settle(self) -> None:
        self.runner.run(self.commit(self.session))
        assert self.session.journal.durable_sequence == self.told.next_sequence - 1
        assert self.session.unacknowledged == self.session.journal.pending_bytes == 0
        self.promised_epoch, self.end_promised = self.session.epoch, self.session.ended
        if self.connection is not None:
            self.resume()
        self.keep()

    @precondition(lambda self: not self.told.ended)
    @rule()
    def finish(self) -> None:
        """The client does not come back: the server ends its session."""
        self.session.finish()
        self.told.ended = self.abandoned = True

    @rule(data=st.data(), written=st.booleans())
    def crash(self, data: st.DataObject, written: bool) -> None:
        """The machine goes down: before the last write, or between it and its acknowledgement."""
        if written:
            self.runner.run(self.commit(self.session))
        self.session.journal.close()
        self.tear(data)
        self.reopened()

    @rule(written=st.booleans())
    def take_over(self, written: bool) -> None:
        """Another replica takes the meeting up; this one does not know yet, and goes on."""
        if written:
            self.runner.run(self.commit(self.session))
        self.zombies.append(self.session)
        self.reopened()

    def reopened(self) -> None:
        """What a new owner finds: all that was promised, a beginning of what was taken, nothing else."""
        self.open()
        self.keep()
        survived = self.session.next_sequence - 1
        assert self.promised <= survived <= len(self.history)
        self.told = Told()
        for request in self.history[:survived]:
            self.told.take(request)
        assert self.session.abandoned is (self.session.ended and not self.told.ended)
        assert self.abandoned or not self.session.abandoned
        assert self.session.ended or not self.end_promised
        self.told.ended = self.session.ended
        assert self.promised_epoch <= self.session.epoch <= self.epoch
        self.epoch = self.session.epoch

    @precondition(lambda self: self.zombies)
    @rule(data=st.data(), count=st.integers(0, 3), finished=st.booleans())
    def zombie_goes_on(self, data: st.DataObject, count: int, finished: bool) -> None:
        """It takes what its client still sends there, but says that nothing of it is durable."""
        zombie = data.draw(st.sampled_from(self.zombies))
        durable = zombie.journal.durable_sequence
        with suppress(Fenced, MeetingFinished):
            for request in self.history[zombie.next_sequence - 1 :][:count]:
                zombie.accept(request)
            if finished and self.abandoned:
                zombie.finish()
        if zombie.journal.pending_bytes:
            with pytest.raises(Fenced):
                self.runner.run(self.commit(zombie))
        assert zombie.journal.durable_sequence == durable

    # --- what always holds ---------------------------------------------------------------------------------

    @invariant()
    def the_session_is_as_the_model_says(self) -> None:
        session, told = self.session, self.told
        assert session.next_sequence == told.next_sequence
        assert session.ended is told.ended
        assert session.epoch == self.epoch
        assert {
            number: ModelTrack(track.participant_id, track.next_sample, track.end_sample is not None)
            for number, track in session.tracks.items()
        } == told.tracks
        for track in session.tracks.values():
            assert [span.end for span in track.spans[:-1]] == [span.start for span in track.spans[1:]]
            assert sum(span.end - span.start for span in track.spans) == track.next_sample - track.start_sample

    @invariant()
    def memory_is_bounded(self) -> None:
        assert self.session.unacknowledged <= LIMITS.window
        assert self.session.journal.pending_bytes < LIMITS.pending_bytes + MAX_PAYLOAD_BYTES + 1_000

    @invariant()
    def what_is_durable_is_what_was_taken(self) -> None:
        durable = self.session.journal.durable_sequence
        for number in (0, *self.told.tracks):
            taken = [
                (request.sequence, getattr(request, str(request.WhichOneof("message"))).SerializeToString())
                for request in self.told.requests[:durable]
                if _track_of(request) in (0, number)
            ]
            found = [
                (record.sequence, record.payload)
                for record in self.session.journal.durable_records(number)
                if record.kind is not RecordKind.OPEN and not (record.kind is RecordKind.END and self.abandoned)
            ]
            assert found == taken

    def teardown(self) -> None:
        for session in (self.session, *self.zombies):
            session.journal.close()
        shutil.rmtree(self.root)


def _track_of(request: pb.StreamAudioRequest) -> int:
    return int(getattr(getattr(request, str(request.WhichOneof("message"))), "track", 0))


def _varint(number: int) -> bytes:
    groups = []
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def test_whatever_a_client_sends_the_session_is_as_its_model_says() -> None:
    with asyncio.Runner() as runner, ThreadPoolExecutor(1) as executor:
        explore(lambda: SessionMachine(runner, executor), examples=50, steps=40)
