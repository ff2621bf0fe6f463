"""One StreamAudio call: a task reads what the client sends, one task writes, neither waits for the other's network."""

import asyncio
from typing import Any, Protocol

import grpc

from agent.ingest.v1 import audio_service_pb2 as pb
from kit.clock import monotonic
from kit.errors import InvalidArgument
from kit.telemetry import logs
from services.ingest.errors import EpochFenced, MeetingFinished, StreamProtocolBroken
from services.ingest.intake.session import MeetingKey, Session, check_session_id
from services.ingest.live.meeting import CHUNK_SESSION, LiveMeeting

log = logs.get()


class ServerStream(Protocol):
    """gRPC's side of a stream."""

    async def read(self) -> Any: ...

    async def write(self, message: Any) -> None: ...


class Meetings(Protocol):
    """The live meetings."""

    async def enter(self, key: MeetingKey) -> LiveMeeting: ...


class EndedSessions(Protocol):
    """What the store knows of sessions that have ended."""

    async def ended_session(self, key: MeetingKey, session_id: str) -> int | None: ...


class AudioStream:
    """One connection of a session, from `open` to the client's or the session's end."""

    def __init__(
        self,
        stream: ServerStream,
        meetings: Meetings,
        store: EndedSessions,
        draining: asyncio.Event,
        heartbeat_seconds: float,
    ) -> None:
        self._stream = stream
        self._meetings = meetings
        self._store = store
        self._draining = draining
        self._heartbeat_seconds = heartbeat_seconds
        self._connection = object()
        self._epoch = 0

    async def run(self, tenant_id: str) -> None:
        """Serve the call. It returns when the session is on disk to its end, or the client is gone.

        Raises:
            AppError: a message broke the contract, or a newer connection took over.
        """
        opening = await self._open()
        if opening is None:
            return
        key = MeetingKey(tenant_id, opening.meeting_id)
        with logs.bind(meeting_id=key.meeting_id, session_id=opening.session_id):
            try:
                live = await self._meetings.enter(key)
                session = await live.session(opening.session_id, opening.start_time_ms)
            except MeetingFinished:
                await self._end_again(await self._ended(key, opening.session_id), key)
                return
            if session.ended:
                await session.confirmed()
                await self._end_again(session.next_sequence, key)
                return
            session.attach(opening, self._connection)
            self._epoch = opening.epoch
            try:
                await self._serve(live, session)
            finally:
                session.detach(self._connection)

    async def _open(self) -> pb.SessionOpen | None:
        first = await self._stream.read()
        if first is grpc.aio.EOF:
            return None
        got = first.WhichOneof("message")
        if got != "open":
            raise StreamProtocolBroken("open", got or "nothing")
        opening: pb.SessionOpen = first.open
        check_session_id(opening.session_id)
        if opening.session_id == CHUNK_SESSION:
            raise InvalidArgument("is taken by the meeting's chunks", field="open.session_id")
        if not 0 <= opening.start_time_ms < 1 << 43:
            raise InvalidArgument("is not a moment of this age", field="open.start_time_ms")
        return opening

    async def _ended(self, key: MeetingKey, session_id: str) -> int:
        next_sequence = await self._store.ended_session(key, session_id)
        if next_sequence is None:
            raise MeetingFinished(key.meeting_id)
        return next_sequence

    async def _end_again(self, next_sequence: int, key: MeetingKey) -> None:
        """Tell a client that never heard it that its whole session is on disk.

        Raises:
            MeetingFinished: the client has more to send.
        """
        await self._write(opened=pb.SessionOpened(next_sequence=next_sequence, window=1))
        while (request := await self._stream.read()) is not grpc.aio.EOF:
            if request.sequence >= next_sequence:
                raise MeetingFinished(key.meeting_id)

    async def _serve(self, live: LiveMeeting, session: Session) -> None:
        await session.settled()
        opened = pb.SessionOpened(next_sequence=session.next_sequence, window=session.limits.window)
        log.info("stream_opened", epoch=session.epoch, next_sequence=session.next_sequence)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(session), name="ingest.stream.read")
            await self._write(opened=opened)
            await self._tell(live, session, opened.next_sequence - 1, reading)
            reading.cancel()

    async def _read(self, session: Session) -> None:
        """Take messages until the client closes; a client that is too fast is simply not read."""
        while (request := await self._stream.read()) is not grpc.aio.EOF:
            if not session.holds(self._connection):
                return
            if request.WhichOneof("message") == "open":
                raise StreamProtocolBroken("track, audio, gap, track_end or end", "open")
            await session.room()
            if not session.holds(self._connection):
                return
            session.accept(request)
        session.pulse.beat()

    async def _tell(self, live: LiveMeeting, session: Session, told: int, reading: "asyncio.Task[None]") -> None:
        """Write what there is to tell, until there is nothing more; the only writer of the stream."""
        drained = False
        draining = asyncio.create_task(self._draining.wait(), name="ingest.stream.drain")
        draining.add_done_callback(lambda _: session.pulse.beat())
        beat_at = monotonic() + self._heartbeat_seconds
        try:
            while True:
                coming = session.pulse.coming
                if not session.holds(self._connection):
                    raise EpochFenced(self._epoch, session.epoch)
                if session.journal.durable_sequence > told:
                    told = session.journal.durable_sequence
                    await self._write(durable=pb.AudioDurable(sequence=told))
                    continue
                if session.ended and session.journal.pending_bytes == 0:
                    return
                if session.journal.failure is not None:
                    raise session.journal.failure
                if reading.done():
                    return  # lost, never finished: the session waits for its client
                if self._draining.is_set() and not drained:
                    drained = True
                    await self._write(drain=pb.AudioDrain(reason="shutting down"))
                    continue
                if monotonic() >= beat_at:
                    beat_at = monotonic() + self._heartbeat_seconds
                    await self._write(status=pb.AudioStatus(lag_ms=live.lag_ms, warning=live.problem))
                    continue
                try:
                    async with asyncio.timeout(max(0.0, beat_at - monotonic())):
                        await coming.wait()
                except TimeoutError:
                    continue
        finally:
            draining.cancel()

    async def _write(self, **message: Any) -> None:
        await self._stream.write(pb.StreamAudioResponse(**message))
