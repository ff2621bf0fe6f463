"""One Recognize call: a whole recording, cut and decoded like a live track, but as fast as it goes."""

import asyncio

import grpc

from agent.stt.v1 import stt_service_pb2 as pb
from kit.telemetry import logs
from services.stt.audio import SAMPLE_RATE_HERTZ
from services.stt.errors import RecordingsOff, RecordingTooLong, StreamAbandoned, StreamProtocolBroken
from services.stt.messages import final, finished
from services.stt.recogniser import Decided, Event, FinalText, Finished, Recogniser, RecogniserOptions, open_recogniser
from services.stt.stream import Recognition, ServerStream, samples

MAX_AUDIO_BYTES = 1024 * 1024
_OUTGOING = 16

log = logs.get()


async def recognize_recording(stream: ServerStream, recognition: Recognition) -> None:
    """Serve the call, from `open` to `finished`.

    Raises:
        RecognitionOff: nothing is recognised here.
        RecordingsOff: recordings are not.
        RecordingTooLong: the recording is longer than the settings allow.
        StreamProtocolBroken: a message came out of order.
        StreamAbandoned: the client closed without `end`.
        EngineFailed: no engine can decode now.
    """
    recognition.refuse_when_off()
    if not recognition.settings.max_file_minutes:
        raise RecordingsOff
    request = await stream.read()
    if request is grpc.aio.EOF:
        raise StreamAbandoned
    if (got := request.WhichOneof("message")) != "open":
        raise StreamProtocolBroken("open", got or "nothing")
    options = RecogniserOptions(
        rules=recognition.settings.endpointing,
        language=recognition.language(request.open.language),
        hot_words=tuple(request.open.hot_words),
        live=False,
        tenant_id=request.open.tenant_id,
    )
    with logs.bind(meeting_id=request.open.meeting_id):
        log.info("recording_opened", language=options.language or "auto")
        await _serve(stream, recognition, options)
        log.info("recording_finished")


async def _serve(stream: ServerStream, recognition: Recognition, options: RecogniserOptions) -> None:
    outgoing: asyncio.Queue[Event] = asyncio.Queue(_OUTGOING)
    async with (
        open_recogniser(recognition.pool, recognition.vad, options, outgoing) as recogniser,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(_read(stream, recogniser, recognition), name="stt.read")
        while not isinstance(event := await outgoing.get(), Finished):
            if isinstance(event, FinalText):
                recognition.traffic.said(event.hypothesis.engine)
                await stream.write(pb.RecognizeResponse(final=final(event)))
            elif isinstance(event, Decided):
                progress = pb.RecognizeCursor(
                    received_sample=recogniser.received_sample, decided_sample=event.decided_sample
                )
                await stream.write(pb.RecognizeResponse(progress=progress))
        await stream.write(pb.RecognizeResponse(finished=finished(event)))


async def _read(stream: ServerStream, recogniser: Recogniser, recognition: Recognition) -> None:
    minutes = recognition.settings.max_file_minutes
    longest_samples = minutes * 60 * SAMPLE_RATE_HERTZ
    while (request := await stream.read()) is not grpc.aio.EOF:
        match request.WhichOneof("message"):
            case "pcm":
                pcm = samples(request.pcm, limit=MAX_AUDIO_BYTES)
                if recogniser.received_sample + len(pcm) > longest_samples:
                    raise RecordingTooLong(minutes)
                recognition.traffic.heard(len(pcm))
                await recogniser.feed(pcm)
            case "end":
                await recogniser.end()
                return
            case other:
                raise StreamProtocolBroken("pcm or end", other or "nothing")
    raise StreamAbandoned
