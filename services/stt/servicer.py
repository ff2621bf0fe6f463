"""SpeechService: what the contract asks, answered by the nouns of this room."""

from typing import Any

from agent.stt.v1 import stt_service_pb2 as pb
from agent.stt.v1 import stt_service_pb2_grpc as pb_grpc
from services.stt.audio import SAMPLE_RATE_HERTZ
from services.stt.engines.registry import installed_engines
from services.stt.recording import recognize_recording
from services.stt.stream import Recognition, RecognizeStream


class SpeechServicer(pb_grpc.SpeechServiceServicer):
    """Answers calls with one loaded engine."""

    def __init__(self, recognition: Recognition) -> None:
        self._recognition = recognition

    async def StreamingRecognize(  # type: ignore[override]  # the stub's type leaves out handlers that read and write
        self, request_iterator: object, context: Any
    ) -> None:
        with self._recognition.traffic.stream():
            await RecognizeStream(context, self._recognition).run()

    async def Recognize(  # type: ignore[override]  # as above
        self, request_iterator: object, context: Any
    ) -> None:
        with self._recognition.traffic.stream():
            await recognize_recording(context, self._recognition)

    async def ListEngines(self, request: pb.ListEnginesRequest, context: object) -> pb.ListEnginesResponse:
        active = self._recognition.capabilities
        engines = [
            pb.EngineInfo(
                name=active.engine,
                model=active.model,
                active=True,
                languages=sorted(active.languages or ()),
                word_times=active.word_times,
                note=active.note,
            )
        ]
        engines += [
            pb.EngineInfo(name=entry.name, note=entry.note)
            for entry in installed_engines()
            if entry.name != active.engine
        ]
        return pb.ListEnginesResponse(engines=engines)

    async def GetStats(self, request: pb.GetStatsRequest, context: object) -> pb.GetStatsResponse:
        traffic, pool = self._recognition.traffic, self._recognition.pool.stats
        return pb.GetStatsResponse(
            streams=traffic.streams,
            queued=pool.queued,
            queue_age_ms=round(pool.queue_age_seconds * 1_000),
            load=pool.load,
            audio_seconds=traffic.samples / SAMPLE_RATE_HERTZ,
            finals=traffic.finals,
        )
