"""The connector room put together: a database, a channel to ingest, the providers, one server."""

import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

from agent.connector.v1 import connector_service_pb2 as pb
from agent.connector.v1 import connector_service_pb2_grpc as pb_grpc
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from agent.ops.v1 import ops_service_pb2 as ops
from kit.audit.auditing import Auditing
from kit.audit.settings import AuditSettings
from kit.auth.authenticator import Authenticator, make_authenticator, make_credential
from kit.auth.outgoing import Credential
from kit.db.engine import open_database
from kit.db.migrate import migrate
from kit.ids import new_id
from kit.lifecycle import Shutdown, StartError
from kit.ops.sources import Check, OpsSources
from kit.room import Room, open_room
from kit.rpc.client import open_channel
from kit.rpc.server import RpcService
from kit.settings import (
    AuthSettings,
    CoreSettings,
    DatabaseSettings,
    RpcSettings,
    TargetSettings,
    TelemetrySettings,
    load,
)
from services.connector import metrics
from services.connector.breakers.breakers import Breakers
from services.connector.breakers.repository import BreakerRepository
from services.connector.messages import breaker_statuses, session_statuses
from services.connector.notices.repository import NoticeRepository
from services.connector.operations import Operations
from services.connector.provider import Patience, Surroundings
from services.connector.providers.sberjazz import SberJazzSettings
from services.connector.publications import Publications
from services.connector.readiness import ProviderRules, database_check
from services.connector.receive.opus import OpusUnavailable
from services.connector.receive.opus import load as load_opus
from services.connector.reconciliation.live_pull import LivePull, LivePullOptions
from services.connector.reconciliation.meetings import RunningMeetings
from services.connector.reconciliation.reconciliation import ReconcileOptions, Reconciliation
from services.connector.reconciliation.repository import DecisionRepository
from services.connector.reconciliation.worker import Worker, open_worker
from services.connector.registry import make_registry
from services.connector.repository import OperationRepository, SessionRepository
from services.connector.servicer import ConnectorServicer, Desks
from services.connector.sessions.session import SessionOptions
from services.connector.sessions.sessions import Keepers, open_sessions
from services.connector.settings import (
    ConnectorSettings,
    MeetingConnectorSettings,
    ReconciliationSettings,
    SessionLifeSettings,
)
from services.connector.uplink.chunks import ChunkUplink
from services.connector.webrtc.ice import IceAccess
from store.audit.room import open_audit

ROOM = "connector"


async def main(shutdown: Shutdown) -> None:
    """Run the room until the process is asked to stop."""
    core, auth, rpc, telemetry, stored, targets, connector, meetings, audit = load(
        CoreSettings,
        AuthSettings,
        RpcSettings,
        TelemetrySettings,
        DatabaseSettings,
        TargetSettings,
        ConnectorSettings,
        MeetingConnectorSettings,
        AuditSettings,
    )
    life, reconciling, sberjazz = load(SessionLifeSettings, ReconciliationSettings, SberJazzSettings)
    if stored.database_url is None:
        raise StartError("DATABASE_URL is not set; `agent up` sets it for every room of a node")
    opening = open_connector(
        connector,
        meetings,
        targets,
        database_url=stored.database_url.get_secret_value(),
        api_key=make_credential(auth, ROOM),
        auth=make_authenticator(auth, core),
        shutdown=shutdown,
        auditing=Auditing.of(audit, auth),
        life=life,
        reconciling=reconciling,
        rules=ProviderRules(core, auth, sberjazz),
        rpc=rpc,
        telemetry=telemetry,
        fail_fast=core.fail_fast,
    )
    async with opening as room:
        await room.stopped()


@asynccontextmanager
async def open_connector(
    settings: ConnectorSettings,
    meetings: MeetingConnectorSettings,
    targets: TargetSettings,
    *,
    database_url: str,
    api_key: Credential | None,
    auth: Authenticator,
    shutdown: Shutdown,
    auditing: Auditing | None = None,
    life: SessionLifeSettings | None = None,
    reconciling: ReconciliationSettings | None = None,
    rules: ProviderRules | None = None,
    rpc: RpcSettings | None = None,
    telemetry: TelemetrySettings | None = None,
    fail_fast: bool = False,
) -> AsyncIterator[Room]:
    """Serve for the block; running sessions are handed over at its end, for another replica or the next start.

    Raises:
        StartError: an address is taken, the database's is wrong, or there is no libopus.
        DatabaseUnavailable: the tables cannot be brought up to date.
    """
    try:
        load_opus()
    except OpusUnavailable as error:
        raise StartError(str(error)) from error
    await migrate(database_url)
    life, reconciling = life or SessionLifeSettings(), reconciling or ReconciliationSettings()
    registry = make_registry(
        Surroundings(
            gateway_url=targets.gateway_url,
            api_key=api_key,
            recorder_name=settings.recorder_name,
            notice=settings.notice,
            patience=Patience(settings.empty_room_seconds, settings.first_person_seconds, settings.rejoin_seconds),
            ice=IceAccess(settings.ice_servers, settings.relay_only),
        ),
        meetings.provider,
    )
    async with (
        open_database(database_url, room=ROOM) as database,
        open_audit(database, auditing) as trail,
        open_channel(targets.ingest_target, api_key=api_key) as channel,
        AsyncExitStack() as stack,  # last: what is opened on it ends before what it stands on
    ):
        ledger = SessionRepository(database, _replica(), timedelta(seconds=life.reconcile_stale_sec))
        breakers, decisions = Breakers(BreakerRepository(database)), DecisionRepository(database)
        keepers = Keepers(
            ledger=ledger,
            breakers=breakers,
            operations=Operations(OperationRepository(database), life.op_lock_ttl_sec),
            notices=NoticeRepository(database),
            chunks=partial(ChunkUplink, channel),
        )
        sessions = await stack.enter_async_context(
            open_sessions(
                registry,
                channel,
                keepers,
                _session_options(settings),
                idempotent_seconds=life.join_idempotent_ttl_sec,
            )
        )
        metrics.watch(sessions)
        running = RunningMeetings(MeetingServiceStub(channel))
        reconciliation = Reconciliation(
            sessions, ledger, breakers, decisions, running, registry, _reconcile_options(settings, life, reconciling)
        )
        live_pull = LivePull(sessions, decisions, _pull_options(life))
        worker = Worker(
            reconciliation,
            live_pull if life.live_pull_enabled else None,
            breakers,
            decisions,
            registry,
        )
        if rules is not None:
            await rules.startup_probe(reconciliation, registry)

        async def ready() -> Sequence[Check]:
            return [await database_check(database), *(rules.checks(registry) if rules else ())]

        async def sessions_shown() -> Sequence[ops.SessionStatus]:
            return session_statuses(sessions.active)

        async def breakers_shown() -> Sequence[ops.BreakerStatus]:
            return breaker_statuses(await breakers.all())

        service = RpcService(
            descriptor=pb.DESCRIPTOR.services_by_name["ConnectorService"],
            servicer=ConnectorServicer(
                Desks(
                    sessions,
                    registry,
                    breakers,
                    reconciliation,
                    live_pull,
                    decisions,
                    Publications(sessions, registry, channel),
                )
            ),
            add=pb_grpc.add_ConnectorServiceServicer_to_server,
        )
        await stack.enter_async_context(
            open_worker(worker, interval_seconds=reconciling.interval_sec, enabled=reconciling.enabled)
        )
        async with open_room(
            ROOM,
            listen=settings.listen,
            metrics_listen=settings.metrics_listen,
            services=[service],
            auth=auth,
            shutdown=shutdown,
            readiness=ready,
            sources=OpsSources(
                sessions=sessions_shown,
                breakers=breakers_shown,
                audit=trail.log,
                detail=lambda: f"{calls} calls" if (calls := len(sessions.active)) != 1 else "1 call",
            ),
            audit=trail.sink,
            origins=trail.origins,
            rpc=rpc,
            telemetry=telemetry,
            fail_fast=fail_fast,
        ) as room:
            yield room


def _replica() -> str:
    """Return a name for this process that no other ever had."""
    return f"{socket.gethostname()}:{os.getpid()}:{new_id()}"


def _session_options(settings: ConnectorSettings) -> SessionOptions:
    return SessionOptions(
        backlog_bytes=settings.buffer_mib * 1024 * 1024,
        ack_seconds=settings.ack_seconds,
        finish_seconds=settings.finish_seconds,
        rejoin_seconds=settings.rejoin_seconds,
        empty_room_seconds=settings.empty_room_seconds,
    )


def _reconcile_options(
    settings: ConnectorSettings, life: SessionLifeSettings, reconciling: ReconciliationSettings
) -> ReconcileOptions:
    return ReconcileOptions(
        limit=reconciling.limit,
        give_up_seconds=settings.give_up_seconds,
        breaker_age_seconds=life.cb_auto_reset_min_age_sec if life.cb_auto_reset_enabled else None,
        lease_seconds=life.reconcile_stale_sec,
    )


def _pull_options(life: SessionLifeSettings) -> LivePullOptions:
    return LivePullOptions(
        batch_limit=life.live_pull_batch_limit,
        sessions_limit=life.live_pull_sessions_limit,
        retries=life.live_pull_retries,
        retry_backoff_seconds=life.live_pull_retry_backoff_ms / 1000,
        reconnect_threshold=life.live_pull_fail_reconnect_threshold,
    )
