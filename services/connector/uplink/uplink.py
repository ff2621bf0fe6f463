"""The uplink: one session's stream to ingest. It reconnects, resends what is not on disk, and never holds up audio."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from agent.common.v1.audio_pb2 import SpeakerBasis
from agent.ingest.v1.audio_service_pb2 import (
    SessionEnd,
    SessionOpen,
    StreamAudioRequest,
    TrackEnd,
    TrackStart,
)
from agent.ingest.v1.audio_service_pb2_grpc import AudioServiceStub
from kit.auth.authenticator import TENANT_ID
from kit.clock import monotonic
from kit.rpc.calls import held
from kit.rpc.status import error_of
from kit.telemetry import logs
from services.connector.provider import Basis, JoinSpec
from services.connector.spans import Kind, Reason
from services.connector.uplink.backlog import Backlog, BacklogLost
from services.connector.uplink.framing import Framer

_STALE_SECONDS = 0.2
_OPEN_SECONDS = 10.0
_CHECK_SECONDS = 1.0
_SETTLED_SECONDS = 0.05
_BACKOFF_SECONDS = (0.1, 5.0)
_RETURN_SECONDS = 15.0
"""Time after the recorder came back within which those who are still in the call have a track again."""
FINISHED = "ERROR_REASON_MEETING_FINISHED"
_REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
BASES = {
    Basis.OWN_TRACK: SpeakerBasis.SPEAKER_BASIS_OWN_TRACK,
    Basis.ROSTER: SpeakerBasis.SPEAKER_BASIS_ROSTER,
    Basis.GUESS: SpeakerBasis.SPEAKER_BASIS_GUESS,
}

log = logs.get()


class UplinkRefused(Exception):
    """Ingest will not take the session, now or later; the message is what it said."""


class MeetingOver(UplinkRefused):
    """The meeting was finished by somebody else, which ends the session in good order."""


class _Reconnect(Exception):
    """The connection is to be made again; the message says why."""


class Uplink:
    """Takes tracks (see `TrackWriter`) and brings them to ingest; see `open_uplink`.

    Nothing here waits for the network: audio goes to the backlog, a task of its own sends it.
    """

    def __init__(
        self, channel: grpc.aio.Channel, spec: JoinSpec, session_id: str, backlog: Backlog, ack_seconds: float
    ) -> None:
        self._stub = AudioServiceStub(channel)
        self._spec = spec
        self._session_id = session_id
        self._backlog = backlog
        self._ack_seconds = ack_seconds
        self._framers: dict[int, Framer] = {}
        self._voices: dict[int, _Voice] = {}
        self._left: dict[str, int] = {}
        self._back_at: float | None = None
        self._start_time_ms = 0
        self._epoch = 0
        self._window = 0
        self._ended = False
        self._begun = asyncio.Event()
        self._wake = asyncio.Event()
        self._progress_at = 0.0
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._over.add_done_callback(lambda over: over.cancelled() or over.exception())

    @property
    def overflowed_samples(self) -> int:
        """Samples dropped because ingest was away for too long."""
        return self._backlog.overflowed_samples

    @property
    def connections(self) -> int:
        """Connections made so far."""
        return self._epoch

    @property
    def position(self) -> int:
        """Sample after the last of any track."""
        return max((framer.position for framer in self._framers.values()), default=0)

    def begin(self, start_time_ms: int) -> None:
        """Start sending: sample 0 was at this wall clock, in milliseconds since 1970."""
        self._start_time_ms = start_time_ms
        self._begun.set()

    def start_track(self, participant_id: str, display_name: str, basis: Basis, start_sample: int) -> int:
        """Introduce a participant; returns the number of their track, which may be one that was left open."""
        voice = _Voice(participant_id, display_name, basis)
        track = self._left.pop(participant_id, None)
        if track is not None:
            if self._voices[track] != voice and basis is not Basis.GUESS:  # a guess is no better the second time
                self._introduce(track, voice, self._framers[track].position)
            self._framers[track].gap(self._framers[track].position, start_sample, Reason.AWAY)
            return track
        track = len(self._framers) + 1
        self._framers[track] = Framer(track, self._add, start_sample)
        self._introduce(track, voice, start_sample)
        return track

    def audio(self, track: int, start_sample: int, pcm: bytes, kind: Kind) -> None:
        """Take samples: s16le, mono, 16 kHz."""
        self._framers[track].audio(start_sample, pcm, kind)

    def gap(self, track: int, start_sample: int, end_sample: int, reason: Reason) -> None:
        """Take a span without samples."""
        self._framers[track].gap(start_sample, end_sample, reason)

    def end_track(self, track: int, end_sample: int) -> None:
        """Nothing more will come on the track."""
        self._voices.pop(track, None)
        framer = self._framers[track]
        framer.flush()
        self._add(StreamAudioRequest(track_end=TrackEnd(track=track, end_sample=max(end_sample, framer.position))))

    def away(self) -> None:
        """The recorder is out of the call: tracks that are open now are gone on with when it is back."""
        for framer in self._framers.values():
            framer.flush()
        self._left = {voice.participant_id: track for track, voice in self._voices.items()}
        self._back_at = None

    def back(self) -> None:
        """The recorder is in the call again; whoever does not show up soon left while it was away."""
        self._back_at = monotonic()

    async def settled(self) -> None:
        """Wait until everything taken so far is on disk; the session stays open."""
        for framer in self._framers.values():
            framer.flush()
        while not self._backlog.empty and not self._over.done():  # noqa: ASYNC110 - bounded by the caller
            await asyncio.sleep(_SETTLED_SECONDS)

    def end(self, end_sample: int) -> None:
        """Finish the session; `over` returns when this is on disk too."""
        if not self._ended:
            for framer in self._framers.values():
                framer.flush()
            self._add(StreamAudioRequest(end=SessionEnd(end_sample=end_sample)))
            self._ended = True
            self._wake.set()

    async def over(self) -> None:
        """Wait until the finished session is on disk.

        Raises:
            MeetingOver: the meeting was finished before the session.
            UplinkRefused: ingest will not take the session.
        """
        await asyncio.shield(self._over)

    async def run(self) -> None:
        """Keep a stream to ingest until the session is over."""
        await self._begun.wait()
        shortest, longest = _BACKOFF_SECONDS
        delay = shortest
        while not self._over.done():
            self._window = 0
            try:
                await self._converse()
            except MeetingOver as over:
                log.info("uplink_meeting_over", backlog_bytes=self._backlog.size_bytes)
                self._over.set_exception(over)
            except UplinkRefused as refused:
                log.error("uplink_refused", reason=str(refused))
                self._over.set_exception(refused)
            except _Reconnect as lost:
                log.info("uplink_lost", reason=str(lost), epoch=self._epoch, backlog_bytes=self._backlog.size_bytes)
                delay = shortest if self._window else min(longest, delay * 2)
                await asyncio.sleep(random.uniform(delay / 2, delay))  # noqa: S311 - jitter, not a secret

    async def flush_stale(self) -> None:
        """Send what has been gathered for too long, until cancelled."""
        while True:
            await asyncio.sleep(_STALE_SECONDS)
            for framer in self._framers.values():
                framer.flush(older_than_seconds=_STALE_SECONDS)
            if self._back_at is not None and monotonic() - self._back_at > _RETURN_SECONDS:
                self._back_at = None
                for track in self._left.values():
                    self.end_track(track, self._framers[track].position)
                self._left = {}

    def _introduce(self, track: int, voice: "_Voice", start_sample: int) -> None:
        self._voices[track] = voice
        start = TrackStart(
            track=track,
            participant_id=voice.participant_id,
            display_name=voice.display_name,
            basis=BASES[voice.basis],
            language=self._spec.language,
            start_sample=start_sample,
        )
        self._add(StreamAudioRequest(track=start))

    def _add(self, request: StreamAudioRequest) -> None:
        if not self._ended:
            self._backlog.add(request)
            self._wake.set()

    async def _converse(self) -> None:
        """Hold one connection, until the session is on disk to its end.

        Raises:
            _Reconnect: the connection ended before that.
            UplinkRefused: another one would end the same way.
        """
        self._epoch += 1
        try:
            with held(self._stub.StreamAudio(metadata=((TENANT_ID, self._spec.tenant_id),))) as call:
                await self._open(call)
                reading = asyncio.create_task(self._read(call), name="connector.uplink.read")
                writing = asyncio.create_task(self._write(call), name="connector.uplink.write")
                try:
                    await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in (reading, writing):
                        task.cancel()
                    await asyncio.gather(reading, writing, return_exceptions=True)
                for task in (reading, writing):  # what the server said comes before what a write met
                    if not task.cancelled():
                        task.result()
                if not self._over.done():
                    raise _Reconnect("the call was cancelled")
        except grpc.aio.AioRpcError as error:
            problem = error_of(error)
            sentence = f"{problem.code.name}: {problem.message or problem.reason}"
            if problem.reason == FINISHED:
                raise MeetingOver("the meeting was finished") from error
            if problem.code in _REFUSALS:
                raise UplinkRefused(sentence) from error
            raise _Reconnect(sentence) from error
        except (asyncio.InvalidStateError, TimeoutError) as error:
            raise _Reconnect(repr(error)) from error
        except BacklogLost as error:
            raise UplinkRefused(str(error)) from error

    async def _open(self, call: Any) -> None:
        opening = SessionOpen(
            meeting_id=self._spec.meeting_id,
            session_id=self._session_id,
            epoch=self._epoch,
            start_time_ms=self._start_time_ms,
        )
        async with asyncio.timeout(_OPEN_SECONDS):
            await call.write(StreamAudioRequest(open=opening))
            response = await call.read()
        if response is grpc.aio.EOF or response.WhichOneof("message") != "opened":
            raise _Reconnect("the server closed the stream instead of opening it")
        self._backlog.rewind(response.opened.next_sequence)
        self._window = max(1, response.opened.window)
        self._progress_at = monotonic()
        log.info("uplink_opened", epoch=self._epoch, next_sequence=response.opened.next_sequence)
        self._settle()

    async def _write(self, call: Any) -> None:
        while True:
            while self._backlog.ready and self._backlog.unacknowledged < self._window:
                if self._backlog.unacknowledged == 0:
                    self._progress_at = monotonic()
                async with asyncio.timeout(self._ack_seconds):
                    await call.write(self._backlog.take())
            if self._backlog.unacknowledged and monotonic() - self._progress_at > self._ack_seconds:
                raise _Reconnect(f"nothing was acknowledged for {self._ack_seconds:g} s")
            self._wake.clear()
            try:
                async with asyncio.timeout(_CHECK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _read(self, call: Any) -> None:
        while not self._over.done():
            response = await call.read()
            if response is grpc.aio.EOF:
                raise _Reconnect("the server closed the stream")
            match response.WhichOneof("message"):
                case "durable":
                    if self._backlog.acknowledge(response.durable.sequence):
                        self._progress_at = monotonic()
                        self._wake.set()
                    self._settle()
                case "drain":
                    raise _Reconnect("the server is stopping")
                case "status" if response.status.warning:
                    log.info("uplink_warned", warning=response.status.warning)

    def _settle(self) -> None:
        if self._ended and self._backlog.empty and not self._over.done():
            self._over.set_result(None)


@dataclass(frozen=True, slots=True)
class _Voice:
    """Who an open track belongs to."""

    participant_id: str
    display_name: str
    basis: Basis


@asynccontextmanager
async def open_uplink(
    channel: grpc.aio.Channel, spec: JoinSpec, session_id: str, *, backlog_bytes: int, ack_seconds: float
) -> AsyncIterator[Uplink]:
    """Run a session's stream to ingest for the block; it opens after `begin`.

    Args:
        channel: to ingest.
        spec: the meeting.
        session_id: the session, the same over every reconnect.
        backlog_bytes: memory for what is not on disk yet.
        ack_seconds: silence of the server, with something under way, after which the connection counts as dead.
    """
    uplink = Uplink(channel, spec, session_id, Backlog(backlog_bytes), ack_seconds)
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(uplink.run(), name="connector.uplink"),
            tasks.create_task(uplink.flush_stale(), name="connector.uplink.flush"),
        ]
        try:
            yield uplink
        finally:
            for task in running:
                task.cancel()
