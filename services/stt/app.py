"""The stt room put together: a chain of engines, one pool of decodes, one server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from agent.stt.v1 import stt_service_pb2 as pb
from agent.stt.v1 import stt_service_pb2_grpc as pb_grpc
from kit.audit.auditing import Auditing
from kit.audit.decision import AuditSink
from kit.audit.origin import Origins
from kit.audit.remote import RemoteWriter
from kit.audit.settings import AuditSettings
from kit.audit.trail import open_trail
from kit.auth.authenticator import Authenticator, make_authenticator, make_credential
from kit.lifecycle import Shutdown
from kit.ops.sources import OpsSources
from kit.room import Room, open_room
from kit.rpc.client import open_channel
from kit.rpc.server import RpcService
from kit.settings import AuthSettings, CoreSettings, RpcSettings, TargetSettings, TelemetrySettings, load
from services.stt import metrics
from services.stt.engines.registry import open_engine
from services.stt.engines.silero import load_vad_session
from services.stt.ledger import Ledger
from services.stt.load import Forecast, probe
from services.stt.operators import Operators
from services.stt.pool import open_pool
from services.stt.servicer import SpeechServicer
from services.stt.settings import SttSettings
from services.stt.stream import Recognition
from services.stt.traffic import Traffic

ROOM = "stt"
_MAX_RECEIVE_BYTES = 2 * 1024 * 1024
"""A message of a recording is up to 1 MiB of sound and a few bytes of envelope."""


async def main(shutdown: Shutdown) -> None:
    """Run the room until the process is asked to stop; downloads and warm-up come before it serves."""
    core, auth, rpc, telemetry, stt, targets, audit = load(
        CoreSettings, AuthSettings, RpcSettings, TelemetrySettings, SttSettings, TargetSettings, AuditSettings
    )
    authenticator, key = make_authenticator(auth, core), make_credential(auth, ROOM)
    async with (
        open_channel(targets.report_target, api_key=key) as report,
        open_channel(targets.ingest_target, api_key=key) as ingest,
        open_trail(RemoteWriter([report, ingest]), audit) as trail,
        open_stt(
            stt,
            authenticator,
            shutdown,
            audit=trail,
            origins=Auditing.of(audit, auth).origins,
            rpc=rpc,
            telemetry=telemetry,
            fail_fast=core.fail_fast,
        ) as room,
    ):
        await room.stopped()


@asynccontextmanager
async def open_stt(
    settings: SttSettings,
    auth: Authenticator,
    shutdown: Shutdown,
    *,
    audit: AuditSink | None = None,
    origins: Origins | None = None,
    rpc: RpcSettings | None = None,
    telemetry: TelemetrySettings | None = None,
    fail_fast: bool = False,
) -> AsyncIterator[Room]:
    """Load the engines, warm them up, then serve for the block.

    Raises:
        EngineNotReady: an engine or its model cannot be had.
        StartError: an address is taken.
    """
    ledger = Ledger()
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(open_engine(settings))
        capabilities = engine.capabilities
        seed = await asyncio.to_thread(probe, engine, settings.interim_interval_seconds)
        forecast = Forecast(capabilities.workers, seed)
        pool = await stack.enter_async_context(open_pool(engine, ledger, forecast))
        metrics.watch(pool)
        metrics.watch_breakers({link.name: link.breaker.is_closed for link in engine.links})
        recognition = Recognition(
            settings=settings,
            capabilities=capabilities,
            pool=pool,
            vad=await asyncio.to_thread(load_vad_session),
            traffic=Traffic(settings.max_streams, forecast),
            draining=shutdown.draining,
            ledger=ledger,
            members=engine.members,
            off=engine.off,
        )
        operators = Operators(engine, pool)
        service = RpcService(
            descriptor=pb.DESCRIPTOR.services_by_name["SpeechService"],
            servicer=SpeechServicer(recognition),
            add=pb_grpc.add_SpeechServiceServicer_to_server,
        )
        async with open_room(
            ROOM,
            listen=settings.listen,
            metrics_listen=settings.metrics_listen,
            services=[service],
            auth=auth,
            shutdown=shutdown,
            readiness=operators.checks,
            sources=OpsSources(breakers=operators.breakers, detail=operators.detail),
            audit=audit,
            origins=origins,
            rpc=rpc,
            telemetry=telemetry,
            fail_fast=fail_fast,
            max_receive_bytes=_MAX_RECEIVE_BYTES,
        ) as room:
            yield room
