"""A feed: one track's way from the journal to speech recognition and back, as text.

Everything is one mechanism: a cursor on the track. Live, the reader waits for the journal to grow; after a restart, a
dead or draining recogniser, or a slow one, it starts or stays behind and reads what is there. What is in memory is one
block of the journal; what is under way is bounded by gRPC's flow control and by `ahead_samples`.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from agent.common.v1 import audio_pb2 as audio
from agent.ingest.v1 import audio_service_pb2 as pb
from agent.stt.v1 import stt_service_pb2 as stt
from kit.rpc.calls import held
from kit.rpc.status import error_of, worth_retrying
from kit.telemetry import logs
from services.ingest import metrics
from services.ingest.intake.session import Session
from services.ingest.intake.track import Track
from services.ingest.journal.journal import JournalReader
from services.ingest.journal.record import Record, RecordKind
from services.ingest.pulse import Pulse
from services.ingest.retry import Backoff
from services.ingest.timeline import BYTES_PER_SAMPLE

_REFUSED_SECONDS = (2.0, 30.0)
_LANGUAGE_UNKNOWN = "ERROR_REASON_LANGUAGE_UNKNOWN"
_RECOGNIZER_BUSY = "ERROR_REASON_RECOGNIZER_BUSY"

log = logs.get()


class Recognizer(Protocol):
    """Speech recognition: the stub of `agent.stt.v1.SpeechService`."""

    def StreamingRecognize(self) -> Any:
        """Open a stream."""


class TextSink(Protocol):
    """Takes what a track's audio turned out to be."""

    async def settle(self, session: Session, track: Track, final: stt.Final) -> None:
        """Keep a final and the cursor behind it; returns when both are stored, however long that takes."""

    async def decide(self, session: Session, track: Track, sample: int, *, last: bool, cost_usd: float = 0.0) -> None:
        """Note that everything before `sample` is decided; the last time, returns when it and the bill are stored."""

    def interim(self, session: Session, track: Track, interim: stt.Interim) -> None:
        """Show text in the making."""


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """What every feed of the room shares."""

    ahead_samples: int
    """Audio that may be undecided at the recogniser; above the longest utterance with the silence around it."""
    silent_seconds: float = 20.0
    """Time without any message after which a recogniser counts as dead; it sends a heartbeat every 5 s."""


class _Lost(Exception):
    """The stream ended before its end; the message says why."""


class Feed:
    """One track's feed; `run` returns when the whole track is decided."""

    def __init__(
        self,
        session: Session,
        track: Track,
        language: str,
        recognizer: Recognizer,
        sink: TextSink,
        options: FeedOptions,
    ) -> None:
        self._session = session
        self._track = track
        self._language = track.pinned_language or track.language or language
        self._recognizer = recognizer
        self._sink = sink
        self._options = options
        self._progress = Pulse()
        self._opened = asyncio.Event()
        self._backoff = Backoff()
        self._refused = Backoff(*_REFUSED_SECONDS)
        self.problem = ""
        """Why no text comes now; empty when all is well."""
        self.warning = ""
        """What the recogniser says of itself, for example that text comes late; empty when all is well."""

    async def run(self) -> None:
        """Feed the track to its end, over as many streams as it takes."""
        while not self._done:
            decided = self._track.decided_sample
            try:
                if await self._attempt():
                    return
                self.problem = ""
            except* (_Lost, grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as lost:
                refused = self._explain(lost)
            else:
                refused = False
            metrics.FEED_REOPENED.inc()
            if self._track.decided_sample > decided:
                self._backoff.reset()
                self._refused.reset()
            await (self._refused if refused else self._backoff).pause()

    @property
    def _done(self) -> bool:
        ended = self._session.ended or self._track.end_sample is not None
        return ended and self._track.undecided_samples == 0

    def _explain(self, lost: BaseExceptionGroup[Exception]) -> bool:
        """Note why a stream was lost; returns whether the recogniser will not have what we ask for."""
        leaves = list(_leaves(lost))
        answer = next((leaf for leaf in leaves if isinstance(leaf, grpc.aio.AioRpcError)), None)
        # A recogniser that stays away is told once, not at every attempt.
        tell = log.debug if self.problem else log.info
        if answer is None:
            self.problem = "speech recognition is away"
            tell("feed_lost", track=self._track.number, why=str(leaves[0]) or type(leaves[0]).__name__)
            return False
        problem = error_of(answer)
        if problem.reason == _LANGUAGE_UNKNOWN and self._language:
            log.warning("feed_language_unknown", track=self._track.number, language=self._language)
            self._language = ""
            return False
        retryable = worth_retrying(answer) or problem.code in _GONE
        if problem.reason == _RECOGNIZER_BUSY:
            self.problem = "speech recognition is full: it takes no more tracks"
        elif retryable:
            self.problem = "speech recognition is away"
        else:
            self.problem = f"speech recognition refuses: {problem.code.name}"
        tell = tell if retryable else log.error
        tell("feed_lost", track=self._track.number, code=problem.code.name, reason=problem.reason, why=problem.message)
        return not retryable

    async def _attempt(self) -> bool:
        """Hold one stream; True if it came to the track's end.

        Raises:
            ExceptionGroup: of `_Lost`, AioRpcError, InvalidStateError and TimeoutError.
        """
        self._opened.clear()
        self.warning = ""
        with held(self._recognizer.StreamingRecognize()) as call:
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(self._write(call), name="ingest.feed.write")
                finished = await self._read(call)
                writing.cancel()
        return finished

    async def _write(self, call: Any) -> None:
        start = self._track.decided_sample
        opening = stt.RecognizeOpen(
            language=self._language,
            start_sample=start,
            interim=True,
            meeting_id=self._session.key.meeting_id,
            tenant_id=self._session.key.tenant_id,
        )
        await call.write(stt.StreamingRecognizeRequest(open=opening))
        # A write that meets a refusal would hide its reason.
        await self._opened.wait()
        reader = JournalReader(
            self._session.journal, self._session.pulse, self._track.number, self._track.offset_before(start)
        )
        position = start
        while True:
            for record in await reader.next():
                if record.kind in (RecordKind.TRACK_END, RecordKind.END):
                    await call.write(stt.StreamingRecognizeRequest(end=stt.SpeechEnd()))
                    return
                for request, end in _requests(record, position):
                    await self._window(position)
                    await call.write(request)
                    position = end

    async def _window(self, position: int) -> None:
        while position - self._track.decided_sample >= self._options.ahead_samples:
            await self._progress.coming.wait()

    async def _read(self, call: Any) -> bool:
        """Take what the recogniser says, until it is through (True) or asks us to go elsewhere (False)."""
        track, session, seconds = self._track, self._session, self._options.silent_seconds
        loop = asyncio.get_running_loop()
        while True:
            # The call is given up when nothing comes, so that the cancelled read does no harm.
            async with asyncio.timeout_at(loop.time() + seconds):
                response = await call.read()
            if response is grpc.aio.EOF:
                raise _Lost("the recogniser closed the stream")
            match response.WhichOneof("message"):
                case "final":
                    # A stream that replaces this one goes on in the language that this one was sure of.
                    track.pinned_language = response.final.pinned_language or track.pinned_language
                    self._language = track.pinned_language or self._language
                    await self._sink.settle(session, track, response.final)
                    self._decided(response.final.decided_sample)
                case "cursor":
                    await self._sink.decide(session, track, response.cursor.decided_sample, last=False)
                    self._decided(response.cursor.decided_sample)
                case "interim":
                    self._sink.interim(session, track, response.interim)
                case "opened":
                    self.problem = ""
                    self._opened.set()
                case "status":
                    if response.status.warning != self.warning:
                        log.info("recogniser_warned", track=track.number, warning=response.status.warning)
                    self.warning = response.status.warning
                case "finished":
                    finished = response.finished
                    await self._sink.decide(
                        session, track, finished.decided_sample, last=True, cost_usd=finished.cost_usd
                    )
                    self._decided(finished.decided_sample)
                    return True
                case "drain":
                    return False

    def _decided(self, sample: int) -> None:
        self._track.decide(sample)
        self._backoff.reset()
        self._progress.beat()


_GONE = frozenset({grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL})
"""What a recogniser that died, or is replaced, may look like."""


def _requests(record: Record, position: int) -> Iterator[tuple[stt.StreamingRecognizeRequest, int]]:
    """Yield what a record says from `position` on, with the sample after it."""
    if record.kind is RecordKind.AUDIO:
        frame = pb.AudioFrame.FromString(record.payload)
        end = frame.start_sample + len(frame.pcm) // BYTES_PER_SAMPLE
        if end <= position:
            return
        if frame.kind == audio.AUDIO_KIND_FILL:
            yield _silence(position, end), end
            return
        pcm = frame.pcm[(position - frame.start_sample) * BYTES_PER_SAMPLE :]
        yield stt.StreamingRecognizeRequest(audio=stt.SpeechAudio(start_sample=position, pcm=pcm)), end
    elif record.kind is RecordKind.GAP:
        gap = pb.AudioGap.FromString(record.payload)
        if gap.end_sample > position:
            yield _silence(position, gap.end_sample), gap.end_sample


def _silence(start: int, end: int) -> stt.StreamingRecognizeRequest:
    return stt.StreamingRecognizeRequest(silence=stt.SpeechSilence(start_sample=start, samples=end - start))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
