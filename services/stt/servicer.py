"""SpeechService: what the contract asks, answered by the nouns of this room."""

from typing import Any

from agent.stt.v1 import stt_service_pb2 as pb
from agent.stt.v1 import stt_service_pb2_grpc as pb_grpc
from services.stt.audio import SAMPLE_RATE_HERTZ
from services.stt.engines.engine import Capabilities
from services.stt.engines.registry import installed_engines
from services.stt.recording import recognize_recording
from services.stt.stream import Recognition, RecognizeStream

_MAX_COSTS = 1_000
"""Engines and tenants of one answer."""


class SpeechServicer(pb_grpc.SpeechServiceServicer):
    """Answers calls with the engines that are loaded."""

    def __init__(self, recognition: Recognition) -> None:
        self._recognition = recognition

    async def StreamingRecognize(  # type: ignore[override]  # the stub's type leaves out handlers that read and write
        self, request_iterator: object, context: Any
    ) -> None:
        with self._recognition.traffic.stream() as listener:
            await RecognizeStream(context, self._recognition, listener).run()

    async def Recognize(  # type: ignore[override]  # as above
        self, request_iterator: object, context: Any
    ) -> None:
        with self._recognition.traffic.recording():
            await recognize_recording(context, self._recognition)

    async def ListEngines(self, request: pb.ListEnginesRequest, context: object) -> pb.ListEnginesResponse:
        recognition = self._recognition
        loaded = {member.engine for member in recognition.members}
        engines = [_engine_info(member) for member in recognition.members]
        engines += [
            pb.EngineInfo(name=entry.name, note=entry.note) for entry in installed_engines() if entry.name not in loaded
        ]
        return pb.ListEnginesResponse(
            engines=engines, max_file_minutes=recognition.settings.max_file_minutes, off_reason=recognition.off
        )

    async def GetStats(self, request: pb.GetStatsRequest, context: object) -> pb.GetStatsResponse:
        recognition = self._recognition
        traffic, ledger, forecast = recognition.traffic, recognition.ledger, recognition.pool.forecast
        pool = recognition.pool.stats
        return pb.GetStatsResponse(
            streams=traffic.streams,
            queued=pool.queued,
            queue_age_ms=round(pool.queue_age_seconds * 1_000),
            load=pool.load,
            workers=recognition.pool.workers,
            batch=recognition.capabilities.batch,
            predicted_load=forecast.load,
            streams_that_fit=min(forecast.tracks_that_fit, recognition.settings.max_streams),
            real_time_factor=forecast.real_time_factor,
            interim_stretch=recognition.pool.stretch,
            finals_queued=pool.finals_queued,
            final_age_ms=round(pool.final_age_seconds * 1_000),
            interim_age_ms=round(pool.interim_age_seconds * 1_000),
            interims=traffic.interims,
            interims_dropped=pool.interims_dropped,
            audio_seconds=traffic.samples / SAMPLE_RATE_HERTZ,
            finals=traffic.finals,
            cost_usd=ledger.cost_usd,
            costs=[
                pb.EngineCost(
                    engine=engine, tenant_id=tenant, audio_seconds=account.audio_seconds, cost_usd=account.cost_usd
                )
                for engine, tenant, account in ledger.accounts[:_MAX_COSTS]
            ],
        )


def _engine_info(member: Capabilities) -> pb.EngineInfo:
    return pb.EngineInfo(
        name=member.engine,
        model=member.model,
        active=True,
        languages=sorted(member.languages or ()),
        word_times=member.word_times,
        interims=member.interims,
        cost_per_minute_usd=member.cost_per_minute_usd,
        note=member.note,
    )
