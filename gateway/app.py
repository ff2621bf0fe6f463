"""The gateway room put together: HTTP and gRPC servers, a channel to every room, and how they stop."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from agent.console.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    console_service_pb2,
    console_service_pb2_grpc,
)
from gateway.admin.servicer import AdminServicer
from gateway.admin.trail import PassedOnTrail
from gateway.console.actions import Actions
from gateway.console.board import Board
from gateway.console.logs import MeshLogs
from gateway.console.relay import relayed_services
from gateway.console.replicas import open_replicas
from gateway.console.servicer import ConsoleServicer
from gateway.console.watcher import open_watchers
from gateway.crossroads import Crossroads
from gateway.edge import ROUTE, HttpEdge
from gateway.health import MeshHealth
from gateway.limiting import RateLimited
from gateway.listener import HttpListener, open_http
from gateway.live.contour import Contour
from gateway.pages.routes import page_routes
from gateway.rest import contract, problem
from gateway.rest.binding import read_bindings
from gateway.rest.foreign_pages import ForeignPages
from gateway.rest.shelf import Shelf
from gateway.rest.transcoder import Transcoder, TranscoderLimits
from gateway.rooms.admission import RECORDER, Admission
from gateway.rooms.room import Rooms
from gateway.rooms.signalling import Signalling
from gateway.settings import GatewaySettings
from gateway.speech.description import PATH as TRANSCRIPTIONS
from gateway.speech.endpoint import SpeechLimits, Transcriptions
from kit.audit.auditing import Auditing
from kit.audit.decision import AuditSink, NoTrail
from kit.audit.origin import Origins
from kit.audit.remote import RemoteWriter
from kit.audit.settings import AuditSettings
from kit.audit.trail import open_trail
from kit.auth.authenticator import Authenticator, make_authenticator, make_credential
from kit.auth.gate import Gate
from kit.auth.outgoing import Credential
from kit.auth.policy import Rule
from kit.auth.principal import WS_INTERNAL
from kit.lifecycle import Shutdown, blaming
from kit.ops.sources import OpsSources
from kit.room import Room, open_room
from kit.rpc.client import open_channel
from kit.rpc.credentials import to_itself
from kit.rpc.server import RpcService
from kit.settings import AuthSettings, CoreSettings, RpcSettings, TargetSettings, TelemetrySettings, load
from kit.telemetry import log_tail

ROOM = "gateway"
_INTERNAL_SOCKET = "/v1/ws/internal"
_RULES = {
    _INTERNAL_SOCKET: Rule(frozenset({"service"}), WS_INTERNAL, changes=True),
    TRANSCRIPTIONS: Rule(frozenset({"user", "service"}), changes=True),
    RECORDER: Rule(frozenset({"service"}), changes=True),
}
"""Who may use what the contract does not have."""


@dataclass(frozen=True)
class Gateway:
    """A gateway that serves."""

    http: HttpListener
    room: Room


async def main(shutdown: Shutdown) -> None:
    """Run the room until the process is asked to stop."""
    core, auth, rpc, telemetry, targets, settings, audit = load(
        CoreSettings, AuthSettings, RpcSettings, TelemetrySettings, TargetSettings, GatewaySettings, AuditSettings
    )
    opening = open_gateway(
        settings,
        targets,
        make_authenticator(auth, core),
        shutdown,
        service_key=make_credential(auth, ROOM),
        auditing=Auditing.of(audit, auth),
        rpc=rpc,
        telemetry=telemetry,
    )
    async with opening as gateway:
        await gateway.room.stopped()


@asynccontextmanager
async def open_gateway(
    settings: GatewaySettings,
    targets: TargetSettings,
    auth: Authenticator,
    shutdown: Shutdown,
    *,
    service_key: Credential | None,
    auditing: Auditing | None = None,
    rpc: RpcSettings | None = None,
    telemetry: TelemetrySettings | None = None,
) -> AsyncIterator[Gateway]:
    """Serve for the block. Rooms may be away at any time, at the start too.

    Args:
        service_key: the gateway's own key, with which it watches the rooms for operators; people's calls never
            carry it.
        auditing: how decisions about access are kept, by rooms with a database; the log alone has them if None.

    Raises:
        StartError: an address is taken.
    """
    rpc = rpc or RpcSettings()
    async with AsyncExitStack() as stack:
        passing = await _open_channels(stack, targets, None)
        watching = await _open_channels(stack, targets, service_key)
        health = MeshHealth(passing)
        trail = await stack.enter_async_context(_open_trail(auditing, watching))
        origins = auditing.origins if auditing else Origins()
        replicas = await stack.enter_async_context(open_replicas(_addresses(targets)))
        board = Board([ROOM])
        mesh_logs = MeshLogs(ROOM, log_tail.PROCESS, replicas, shutdown.draining)
        room = await stack.enter_async_context(
            open_room(
                ROOM,
                listen=settings.grpc_listen,
                metrics_listen=None,
                services=[
                    _console_service(
                        ConsoleServicer(board, Actions(passing, board), trail, mesh_logs, shutdown.draining)
                    ),
                    _admin_service(AdminServicer(ROOM, health.checks, passing)),
                    *relayed_services(passing, shutdown.draining),
                ],
                auth=auth,
                shutdown=shutdown,
                readiness=health.checks,
                sources=OpsSources(
                    detail=lambda: f"HTTP on {settings.listen}", audit=PassedOnTrail(_audit_writer(watching))
                ),
                audit=trail,
                origins=origins,
                client_certificates=settings.grpc_client_certificates,
                rpc=rpc,
                telemetry=telemetry,
            )
        )
        myself = to_itself()
        own = await stack.enter_async_context(open_channel(room.server.address, api_key=service_key, tls=myself))
        await stack.enter_async_context(open_watchers(board, replicas, {ROOM: own}, key=service_key))
        itself = await stack.enter_async_context(open_channel(room.server.address, api_key=None, tls=myself))
        shelf = Shelf()
        stack.callback(shelf.clear)
        gate = Gate(auth, _RULES, trail, origins)
        transcriptions = Transcriptions(
            watching["stt"],
            gate,
            SpeechLimits(
                max_bytes=settings.transcription_max_bytes, total_seconds=settings.transcription_timeout_seconds
            ),
        )
        app = make_app(
            settings,
            {**passing, ROOM: itself},
            health,
            gate=gate,
            origins=origins,
            shelf=shelf,
            transcriptions=transcriptions,
            draining=shutdown.draining,
        )
        with blaming("GATEWAY_LISTEN"):
            http = await stack.enter_async_context(
                open_http(
                    settings.listen,
                    app,
                    grace_seconds=rpc.grpc_grace_seconds / 2,
                    certificate=settings.certificate,
                )
            )
        async with asyncio.TaskGroup() as tasks:
            draining = tasks.create_task(_drain(http, shutdown), name="gateway.drain")
            try:
                yield Gateway(http, room)
            finally:
                if not shutdown.requested.is_set():
                    draining.cancel()


def make_app(
    settings: GatewaySettings,
    channels: Mapping[str, grpc.aio.Channel],
    health: MeshHealth,
    *,
    gate: Gate,
    origins: Origins,
    shelf: Shelf,
    transcriptions: Transcriptions,
    draining: asyncio.Event,
) -> ASGIApp:
    """Return everything behind the HTTP port; `gate` knows who may open a service's socket or be the recorder."""
    rooms = Rooms(max_members=settings.room_members, ice_servers=settings.ice_servers)
    signalling = Signalling(rooms, Admission(channels["ingest"], gate))
    user = Contour("user", channels["ingest"])
    internal = Contour("internal", channels["ingest"], gate)
    limits = TranscoderLimits(settings.request_timeout_seconds, settings.max_body_bytes)
    transcoder = Transcoder(
        read_bindings(contract.services(), withheld=contract.WITHHELD),
        channels,
        limits=limits,
        draining=draining,
        foreign_pages=ForeignPages(settings.allowed_origins),
        shelf=shelf,
    )
    served = Starlette(
        exception_handlers={HTTPException: problem.answer_framework},
        routes=[
            *page_routes(),
            Route("/health", health.endpoint),
            Route("/metrics", _metrics),
            Route(TRANSCRIPTIONS, transcriptions.endpoint, methods=["POST"]),
            WebSocketRoute("/v1/ws", user.endpoint),
            WebSocketRoute(_INTERNAL_SOCKET, internal.endpoint),
            WebSocketRoute("/v1/rooms/{room}/signal", signalling.endpoint),
        ],
    )
    # Not a route: a page's wrong method would match it and be a path that is not there.
    served.router.default = transcoder
    served.router.redirect_slashes = False
    return HttpEdge(
        RateLimited(Crossroads(transcoder, served, {TRANSCRIPTIONS}), settings.rates),
        allowed_origins=settings.allowed_origins,
        origins=origins,
    )


async def _metrics(request: Request) -> Response:
    request.scope[ROUTE] = "/metrics"
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _open_channels(
    stack: AsyncExitStack, targets: TargetSettings, api_key: Credential | None
) -> dict[str, grpc.aio.Channel]:
    return {
        room: await stack.enter_async_context(open_channel(target, api_key=api_key))
        for room, target in _addresses(targets).items()
    }


def _addresses(targets: TargetSettings) -> dict[str, str]:
    return {
        "ingest": targets.ingest_target,
        "stt": targets.stt_target,
        "connector": targets.connector_target,
        "report": targets.report_target,
    }


def _console_service(servicer: ConsoleServicer) -> RpcService:
    return RpcService(
        console_service_pb2.DESCRIPTOR.services_by_name["ConsoleService"],
        servicer,
        console_service_pb2_grpc.add_ConsoleServiceServicer_to_server,
    )


def _admin_service(servicer: AdminServicer) -> RpcService:
    return RpcService(
        admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
        servicer,
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server,
    )


@asynccontextmanager
async def _open_trail(auditing: Auditing | None, rooms: Mapping[str, grpc.aio.Channel]) -> AsyncIterator[AuditSink]:
    """Send our decisions to the rooms that keep the trail; the one with live audio is asked second."""
    if auditing is None:
        yield NoTrail()
        return
    async with open_trail(_audit_writer(rooms), auditing.settings) as trail:
        yield trail


def _audit_writer(rooms: Mapping[str, grpc.aio.Channel]) -> RemoteWriter:
    return RemoteWriter([rooms["report"], rooms["ingest"]])


async def _drain(http: HttpListener, shutdown: Shutdown) -> None:
    """Stop HTTP as soon as the room drains, so that clients turn to another replica at once."""
    await shutdown.draining.wait()
    await http.drain()
