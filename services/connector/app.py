"""The connector room put together: a database, a channel to ingest, the providers, one server."""

import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from agent.connector.v1 import connector_service_pb2 as pb
from agent.connector.v1 import connector_service_pb2_grpc as pb_grpc
from agent.ops.v1 import ops_service_pb2 as ops
from kit.auth.authenticator import Authenticator, make_authenticator
from kit.clock import now
from kit.db.engine import Database, DatabaseUnavailable, open_database
from kit.db.migrate import migrate
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
from services.connector.provider import Patience, Surroundings
from services.connector.receive.opus import OpusUnavailable
from services.connector.receive.opus import load as load_opus
from services.connector.registry import make_registry
from services.connector.repository import SessionRepository
from services.connector.servicer import ConnectorServicer
from services.connector.sessions.record import State
from services.connector.sessions.session import SessionOptions
from services.connector.sessions.sessions import Sessions, open_sessions
from services.connector.settings import ConnectorSettings, MeetingConnectorSettings

ROOM = "connector"

_SHOWN_STATES = {
    State.JOINING: "CONNECT",
    State.LIVE: "LIVE",
    State.DEGRADED: "DEGRADED",
    State.RECONNECTING: "RECONN",
    State.FAILED: "FAILED",
    State.ENDED: "ENDED",
    State.LEAVING: "ENDED",
}


async def main(shutdown: Shutdown) -> None:
    """Run the room until the process is asked to stop."""
    core, auth, rpc, telemetry, stored, targets, connector, meetings = load(
        CoreSettings,
        AuthSettings,
        RpcSettings,
        TelemetrySettings,
        DatabaseSettings,
        TargetSettings,
        ConnectorSettings,
        MeetingConnectorSettings,
    )
    if stored.database_url is None:
        raise StartError("DATABASE_URL is not set; `agent up` sets it for every room of a node")
    opening = open_connector(
        connector,
        meetings,
        targets,
        database_url=stored.database_url.get_secret_value(),
        api_key=auth.outgoing_key,
        auth=make_authenticator(auth, core),
        shutdown=shutdown,
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
    api_key: str | None,
    auth: Authenticator,
    shutdown: Shutdown,
    rpc: RpcSettings | None = None,
    telemetry: TelemetrySettings | None = None,
    fail_fast: bool = False,
) -> AsyncIterator[Room]:
    """Serve for the block; running sessions are finished at its end.

    Raises:
        StartError: an address is taken, the database's is wrong, or there is no libopus.
        DatabaseUnavailable: the tables cannot be brought up to date.
    """
    try:
        load_opus()
    except OpusUnavailable as error:
        raise StartError(str(error)) from error
    await migrate(database_url)
    options = SessionOptions(
        backlog_bytes=settings.buffer_mib * 1024 * 1024,
        ack_seconds=settings.ack_seconds,
        finish_seconds=settings.finish_seconds,
    )
    registry = make_registry(
        Surroundings(
            gateway_url=targets.gateway_url,
            api_key=api_key,
            recorder_name=settings.recorder_name,
            notice=settings.notice,
            patience=Patience(settings.empty_room_seconds, settings.first_person_seconds, settings.rejoin_seconds),
        ),
        meetings.provider,
    )
    async with (
        open_database(database_url, room=ROOM) as database,
        open_channel(targets.ingest_target, api_key=api_key) as channel,
        open_sessions(
            registry,
            channel,
            SessionRepository(database, f"{socket.gethostname()}:{os.getpid()}"),
            options,
        ) as sessions,
    ):
        metrics.watch(sessions)

        async def ready() -> Sequence[Check]:
            return await readiness(database)

        async def shown() -> Sequence[ops.SessionStatus]:
            return session_statuses(sessions)

        service = RpcService(
            descriptor=pb.DESCRIPTOR.services_by_name["ConnectorService"],
            servicer=ConnectorServicer(sessions),
            add=pb_grpc.add_ConnectorServiceServicer_to_server,
        )
        async with open_room(
            ROOM,
            listen=settings.listen,
            metrics_listen=settings.metrics_listen,
            services=[service],
            auth=auth,
            shutdown=shutdown,
            readiness=ready,
            sources=OpsSources(sessions=shown, detail=lambda: f"{len(sessions.active)} calls"),
            rpc=rpc,
            telemetry=telemetry,
            fail_fast=fail_fast,
        ) as room:
            yield room


async def readiness(database: Database) -> Sequence[Check]:
    """Check what the room stands on. Without a database running sessions go on, so calls do too."""
    try:
        await database.ping()
    except DatabaseUnavailable:
        return [Check("database", False, "PostgreSQL cannot be reached: see DATABASE_URL", critical=False)]
    return [Check("database", True)]


def session_statuses(sessions: Sessions) -> list[ops.SessionStatus]:
    """Return the rows that operators see."""
    moment = now()
    return [
        ops.SessionStatus(
            meeting_id=session.record.meeting_id,
            state=_SHOWN_STATES.get(session.record.state, "CONNECT"),
            provider=session.record.provider,
            tracks=len(session.participants),
            age_seconds=int((moment - session.record.create_time).total_seconds()),
            note=session.record.reason,
        )
        for session in sessions.active
    ]
