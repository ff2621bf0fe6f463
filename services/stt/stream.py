"""One StreamingRecognize call: a task reads, one task writes, and what lies between has a size."""

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from agent.stt.v1 import stt_service_pb2 as pb
from kit.errors import InvalidArgument
from kit.telemetry import logs
from services.stt.audio import BYTES_PER_SAMPLE, SAMPLE_RATE_HERTZ, Pcm, from_wire, milliseconds_of, samples_of
from services.stt.engines.engine import Capabilities
from services.stt.errors import (
    AudioNotContiguous,
    AudioUndecodable,
    LanguageUnknown,
    MessageTooLarge,
    RecognitionOff,
    StreamAbandoned,
    StreamProtocolBroken,
)
from services.stt.ledger import Ledger
from services.stt.load import Listener
from services.stt.messages import streaming_response
from services.stt.pool import DecodePool
from services.stt.recogniser import (
    Decided,
    Event,
    FinalText,
    Finished,
    InterimText,
    Recogniser,
    RecogniserOptions,
    open_recogniser,
)
from services.stt.settings import SttSettings
from services.stt.traffic import Traffic
from services.stt.vad import VoiceNetwork

MAX_AUDIO_BYTES = 32 * 1024
MAX_SILENCE_SAMPLES = 24 * 3600 * SAMPLE_RATE_HERTZ
_OUTGOING = 64

log = logs.get()


class ServerStream(Protocol):
    """gRPC's side of a stream."""

    async def read(self) -> Any: ...

    async def write(self, message: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Recognition:
    """What every stream of the room shares."""

    settings: SttSettings
    capabilities: Capabilities
    pool: DecodePool
    vad: VoiceNetwork
    traffic: Traffic
    draining: asyncio.Event
    ledger: Ledger
    members: tuple[Capabilities, ...]
    """The engines that `capabilities` are made of, in the order in which they are asked."""
    off: str = ""
    """Why nothing is recognised; empty when all is well."""

    def refuse_when_off(self) -> None:
        """Raise RecognitionOff if nothing is recognised here."""
        if self.off:
            raise RecognitionOff(self.off)

    def language(self, asked: str) -> str | None:
        """Return the language code to decode with, None to detect it.

        Raises:
            LanguageUnknown: the engine does not know it.
        """
        code = asked.strip().lower().partition("-")[0]
        known = self.capabilities.languages
        if code and known is not None and code not in known:
            raise LanguageUnknown(asked, self.capabilities.engine)
        return code or None


@dataclass(frozen=True, slots=True)
class _Beat:
    """Time to say that we are here."""


@dataclass(frozen=True, slots=True)
class _Drain:
    """The server is stopping."""


class RecognizeStream:
    """One call, from `open` to `finished`."""

    def __init__(self, stream: ServerStream, recognition: Recognition, listener: Listener) -> None:
        self._stream = stream
        self._recognition = recognition
        self._listener = listener
        self._outgoing: asyncio.Queue[Event | _Beat | _Drain] = asyncio.Queue(_OUTGOING)
        self._decided_sample = 0

    async def run(self) -> None:
        """Serve the call.

        Raises:
            StreamProtocolBroken: a message came out of order.
            AudioNotContiguous: samples are missing or came twice.
            RecognitionOff: nothing is recognised here.
            EngineFailed: no engine can decode now.
            StreamAbandoned: the client closed without `end`.
        """
        self._recognition.refuse_when_off()
        opening = _opening(await self._stream.read())
        options = self._options(opening)
        self._decided_sample = options.start_sample
        with logs.bind(meeting_id=opening.meeting_id):
            log.info("stream_opened", start_sample=options.start_sample, language=options.language or "auto")
            await self._serve(options)
            log.info("stream_finished", decided_sample=self._decided_sample)

    async def _serve(self, options: RecogniserOptions) -> None:
        shared = self._recognition
        async with (
            open_recogniser(shared.pool, shared.vad, options, self._outgoing) as recogniser,
            asyncio.TaskGroup() as tasks,
        ):
            helpers = [
                tasks.create_task(self._read(recogniser), name="stt.read"),
                tasks.create_task(self._beat(), name="stt.heartbeat"),
                tasks.create_task(self._drain(), name="stt.drain"),
            ]
            await self._write(recogniser, options.start_sample)
            for helper in helpers:
                helper.cancel()

    def _options(self, opening: pb.RecognizeOpen) -> RecogniserOptions:
        if opening.start_sample < 0:
            raise InvalidArgument("must not be negative", field="open.start_sample")
        interval = samples_of(self._recognition.settings.interim_interval_seconds)
        interims = opening.interim and self._recognition.capabilities.interims
        return RecogniserOptions(
            rules=self._recognition.settings.endpointing,
            language=self._recognition.language(opening.language),
            hot_words=tuple(opening.hot_words),
            start_sample=opening.start_sample,
            interim_interval_samples=interval if interims else None,
            tenant_id=opening.tenant_id,
        )

    async def _read(self, recogniser: Recogniser) -> None:
        while (request := await self._stream.read()) is not grpc.aio.EOF:
            match request.WhichOneof("message"):
                case "audio":
                    _follows_on(recogniser, request.audio.start_sample)
                    pcm = samples(request.audio.pcm, limit=MAX_AUDIO_BYTES)
                    self._recognition.traffic.heard(len(pcm))
                    self._listener.heard(len(pcm))
                    await recogniser.feed(pcm)
                case "silence":
                    count = request.silence.samples
                    _follows_on(recogniser, request.silence.start_sample)
                    if not 0 <= count <= MAX_SILENCE_SAMPLES:
                        raise InvalidArgument("must be between nothing and a day", field="silence.samples")
                    self._recognition.traffic.heard(count)
                    self._listener.silent(count)
                    await recogniser.feed_silence(count)
                case "flush":
                    await recogniser.flush()
                case "end":
                    await recogniser.end()
                    return
                case other:
                    raise StreamProtocolBroken("audio, silence, flush or end", other or "nothing")
        raise StreamAbandoned

    async def _write(self, recogniser: Recogniser, start_sample: int) -> None:
        """Send what comes until the last final is sent; the only writer of the stream."""
        capabilities = self._recognition.capabilities
        opened = pb.RecognizeOpened(engine=capabilities.engine, model=capabilities.model, start_sample=start_sample)
        await self._stream.write(pb.StreamingRecognizeResponse(opened=opened))
        while True:
            outgoing = await self._outgoing.get()
            await self._stream.write(self._message(outgoing, recogniser))
            if isinstance(outgoing, Finished):
                return

    def _message(self, outgoing: Event | _Beat | _Drain, recogniser: Recogniser) -> pb.StreamingRecognizeResponse:
        if isinstance(outgoing, _Drain):
            return pb.StreamingRecognizeResponse(drain=pb.RecognizeDrain(reason="shutting down"))
        if isinstance(outgoing, _Beat):
            return pb.StreamingRecognizeResponse(status=self._status(recogniser))
        if isinstance(outgoing, FinalText | Decided | Finished):
            # Only what was written counts: a client takes the last number it saw for a place to go on from.
            self._decided_sample = outgoing.decided_sample
        if isinstance(outgoing, FinalText):
            self._recognition.traffic.said(outgoing.hypothesis.engine)
        if isinstance(outgoing, InterimText):
            self._recognition.traffic.hinted()
        message = streaming_response(outgoing)
        if isinstance(outgoing, Decided):
            message.cursor.received_sample = recogniser.received_sample
        return message

    def _status(self, recogniser: Recogniser) -> pb.RecognizeStatus:
        return pb.RecognizeStatus(
            lag_ms=milliseconds_of(recogniser.received_sample - self._decided_sample),
            warning=self._recognition.pool.warning,
        )

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._recognition.settings.heartbeat_seconds)
            await self._outgoing.put(_Beat())

    async def _drain(self) -> None:
        await self._recognition.draining.wait()
        await self._outgoing.put(_Drain())


def _opening(request: Any) -> pb.RecognizeOpen:
    if request is grpc.aio.EOF:
        raise StreamAbandoned
    if (got := request.WhichOneof("message")) != "open":
        raise StreamProtocolBroken("open", got or "nothing")
    opening: pb.RecognizeOpen = request.open
    return opening


def samples(data: bytes, *, limit: int) -> Pcm:
    """Check and read a message's samples.

    Raises:
        MessageTooLarge: more than `limit` bytes.
        AudioUndecodable: half a sample.
    """
    if len(data) > limit:
        raise MessageTooLarge(limit)
    if len(data) % BYTES_PER_SAMPLE:
        raise AudioUndecodable("the audio ends in the middle of a sample", detail="odd number of bytes")
    return from_wire(data)


def _follows_on(recogniser: Recogniser, start_sample: int) -> None:
    if start_sample != recogniser.received_sample:
        raise AudioNotContiguous(recogniser.received_sample, start_sample)
