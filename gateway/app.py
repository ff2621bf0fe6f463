"""The gateway room put together: HTTP and gRPC servers, a channel to every room, and how they stop."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp

from agent.console.v1 import console_service_pb2, console_service_pb2_grpc
from gateway.console.board import Board
from gateway.console.servicer import ConsoleServicer
from gateway.console.watcher import open_watchers
from gateway.edge import ROUTE, HttpEdge
from gateway.health import MeshHealth
from gateway.listener import HttpListener, open_http
from gateway.live.contour import Contour
from gateway.pages.routes import page_routes
from gateway.rest import contract
from gateway.rest.binding import read_bindings
from gateway.rest.transcoder import Transcoder, TranscoderLimits
from gateway.rooms.admission import Admission
from gateway.rooms.room import Rooms
from gateway.rooms.signalling import Signalling
from gateway.settings import GatewaySettings
from kit.auth.authenticator import Authenticator, make_authenticator
from kit.lifecycle import Shutdown, blaming
from kit.ops.sources import OpsSources
from kit.room import Room, open_room
from kit.rpc.client import open_channel
from kit.rpc.server import RpcService
from kit.settings import AuthSettings, CoreSettings, RpcSettings, TargetSettings, TelemetrySettings, load

ROOM = "gateway"


@dataclass(frozen=True)
class Gateway:
    """A gateway that serves."""

    http: HttpListener
    room: Room


async def main(shutdown: Shutdown) -> None:
    """Run the room until the process is asked to stop."""
    core, auth, rpc, telemetry, targets, settings = load(
        CoreSettings, AuthSettings, RpcSettings, TelemetrySettings, TargetSettings, GatewaySettings
    )
    opening = open_gateway(
        settings,
        targets,
        make_authenticator(auth, core),
        shutdown,
        service_key=auth.outgoing_key,
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
    service_key: str | None,
    rpc: RpcSettings | None = None,
    telemetry: TelemetrySettings | None = None,
) -> AsyncIterator[Gateway]:
    """Serve for the block. Rooms may be away at any time, at the start too.

    Args:
        service_key: the gateway's own key, with which it watches the rooms for operators; people's calls never
            carry it.

    Raises:
        StartError: an address is taken.
    """
    rpc = rpc or RpcSettings()
    async with AsyncExitStack() as stack:
        passing = await _open_channels(stack, targets, None)
        watching = await _open_channels(stack, targets, service_key)
        health = MeshHealth(passing)
        board = Board([*watching, ROOM])
        room = await stack.enter_async_context(
            open_room(
                ROOM,
                listen=settings.grpc_listen,
                metrics_listen=None,
                services=[_console_service(board, shutdown.draining)],
                auth=auth,
                shutdown=shutdown,
                readiness=health.checks,
                sources=OpsSources(detail=lambda: f"HTTP on {settings.listen}"),
                rpc=rpc,
                telemetry=telemetry,
            )
        )
        own = await stack.enter_async_context(open_channel(room.server.address, api_key=service_key))
        await stack.enter_async_context(open_watchers(board, {**watching, ROOM: own}))
        app = make_app(settings, passing, auth, health, draining=shutdown.draining)
        with blaming("GATEWAY_LISTEN"):
            http = await stack.enter_async_context(
                open_http(settings.listen, app, grace_seconds=rpc.grpc_grace_seconds / 2)
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
    auth: Authenticator,
    health: MeshHealth,
    *,
    draining: asyncio.Event,
) -> ASGIApp:
    """Return everything that stands behind the HTTP port."""
    rooms = Rooms(max_members=settings.room_members, ice_servers=settings.ice_servers)
    signalling = Signalling(rooms, Admission(channels["ingest"], auth))
    user = Contour("user", channels["ingest"], auth, services_only=False)
    internal = Contour("internal", channels["ingest"], auth, services_only=True)
    limits = TranscoderLimits(settings.request_timeout_seconds, settings.max_body_bytes)
    bindings = read_bindings(contract.services(), withheld=contract.WITHHELD)
    return HttpEdge(
        Starlette(
            routes=[
                *page_routes(),
                Route("/health", health.endpoint),
                Route("/metrics", _metrics),
                WebSocketRoute("/v1/ws", user.endpoint),
                WebSocketRoute("/v1/ws/internal", internal.endpoint),
                WebSocketRoute("/v1/rooms/{room}/signal", signalling.endpoint),
                Mount("/", Transcoder(bindings, channels, limits=limits, draining=draining)),
            ]
        ),
        allowed_origins=settings.allowed_origins,
    )


async def _metrics(request: Request) -> Response:
    request.scope[ROUTE] = "/metrics"
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _open_channels(
    stack: AsyncExitStack, targets: TargetSettings, api_key: str | None
) -> dict[str, grpc.aio.Channel]:
    addresses = {
        "ingest": targets.ingest_target,
        "stt": targets.stt_target,
        "connector": targets.connector_target,
        "report": targets.report_target,
    }
    return {
        room: await stack.enter_async_context(open_channel(target, api_key=api_key))
        for room, target in addresses.items()
    }


def _console_service(board: Board, draining: asyncio.Event) -> RpcService:
    return RpcService(
        console_service_pb2.DESCRIPTOR.services_by_name["ConsoleService"],
        ConsoleServicer(board, draining),
        console_service_pb2_grpc.add_ConsoleServiceServicer_to_server,
    )


async def _drain(http: HttpListener, shutdown: Shutdown) -> None:
    """Stop HTTP as soon as the room drains, so that clients turn to another replica at once."""
    await shutdown.draining.wait()
    await http.drain()
