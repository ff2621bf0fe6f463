"""The gRPC server of a room: measured options, the edge, health, reflection, an orderly stop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import _async as aio_reflection
from grpc_reflection.v1alpha import reflection_pb2_grpc
from opentelemetry.trace import Tracer

from kit.audit.decision import AuditSink
from kit.audit.origin import Origins
from kit.auth.authenticator import Authenticator
from kit.auth.gate import Gate
from kit.auth.policy import FIXED, Rule, read_rules
from kit.lifecycle import StartError
from kit.rpc import health
from kit.rpc.credentials import ServerTls, process_tls, server_tls
from kit.rpc.edge import Edge, runner
from kit.settings import TlsSettings
from kit.telemetry import logs, traces
from kit.telemetry.metrics import split_address

MEBIBYTE = 1024 * 1024
MAX_RECEIVE_BYTES = MEBIBYTE
"""Largest request of a stream of audio or text; unary uploads need more."""

MAX_SEND_BYTES = 64 * MEBIBYTE

_REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
_START_SECONDS = 10.0

log = logs.get()


@dataclass(frozen=True, slots=True)
class RpcService:
    """A service to serve: its descriptor, who answers, and the generated `add_..._to_server`."""

    descriptor: ServiceDescriptor
    servicer: object
    add: Callable[[Any, Any], None]


class RpcServer:
    """A server that is listening."""

    def __init__(
        self,
        server: grpc.aio.Server,
        edge: Edge,
        health: health.Health,
        draining: asyncio.Event,
        host: str,
        port: int,
        tls: ServerTls | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.tls = tls
        self.health = health
        self.draining = draining
        self._server = server
        self._edge = edge
        self._drained = asyncio.Event()
        self._drain_begun = False

    @property
    def address(self) -> str:
        """Address for clients, `host:port`."""
        return f"{self.host}:{self.port}"

    @property
    def open_rpcs(self) -> int:
        """RPCs being served now, watchers of health among them."""
        return self._edge.open_rpcs

    async def drain(self, grace_seconds: float) -> None:
        """Stop in order: health says NOT_SERVING, streams are told, no new calls, the rest within the grace.

        Calls that are open after the grace are cancelled. Repeated calls wait for the first.
        """
        if self._drain_begun:
            await self._drained.wait()
            return
        self._drain_begun = True
        log.info("rpc_draining", open_rpcs=self.open_rpcs, grace_seconds=grace_seconds)
        try:
            await self.health.stop()
            self.draining.set()
            await self._server.stop(grace_seconds)
        finally:
            self._drained.set()


@asynccontextmanager
async def open_server(
    listen: str,
    *,
    services: Sequence[RpcService],
    auth: Authenticator,
    room: str,
    draining: asyncio.Event | None = None,
    reflection: bool = True,
    max_receive_bytes: int = MAX_RECEIVE_BYTES,
    grace_seconds: float = 0.0,
    serving: bool = True,
    tracer: Tracer | None = None,
    audit: AuditSink | None = None,
    origins: Origins | None = None,
    tls: TlsSettings | None = None,
    client_certificates: bool = True,
) -> AsyncIterator[RpcServer]:
    """Serve for the block; at its end open calls get `grace_seconds`, unless the server was drained before.

    Args:
        listen: `host:port`; port 0 takes a free one.
        services: what to serve, health and reflection aside.
        auth: says who calls.
        room: name for metrics and log lines.
        draining: set when the server starts to stop; servicers watch it to say goodbye on open streams.
        reflection: whether callers with credentials can read the contract.
        max_receive_bytes: largest request; larger ones fail with RESOURCE_EXHAUSTED.
        grace_seconds: time for open calls when the block ends.
        serving: what health says from the start; `server.health.set_serving` changes it.
        tracer: makes the spans; the process's own if None.
        audit: keeps the decisions about access; the log alone if None.
        origins: reads which HTTP request a call stands for; none is believed if None.
        tls: certificates of the server; what the process's GRPC_TLS_* say if None.
        client_certificates: whether callers must show a certificate too, when TLS is on and GRPC_TLS_CLIENT_AUTH
            does not say otherwise.

    Raises:
        StartError: the address is taken, not this machine's, or none.
        SettingsError: TLS is on and a file of it is not in order.
        PolicyError: the contract does not say who may call an RPC.
        TypeError: a handler is not asynchronous.
    """
    secured = server_tls(tls or process_tls(), client_certificates=client_certificates)
    gate = Gate(auth, _rules(services), audit, origins)
    edge = Edge(room, gate, tracer or traces.default_tracer())
    server = grpc.aio.server(interceptors=[edge], options=_options(max_receive_bytes))
    names = [service.descriptor.full_name for service in services]
    statuses = health.Health(names)
    for service in services:
        service.add(service.servicer, server)
    health_pb2_grpc.add_HealthServicer_to_server(statuses, server)
    if reflection:
        shown = aio_reflection.ReflectionServicer([*names, health.SERVICE, _REFLECTION])
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(shown, server)  # type: ignore[no-untyped-call]
    host, port = _bind(server, listen, secured)
    opened = RpcServer(server, edge, statuses, draining or asyncio.Event(), host, port, secured)
    async with asyncio.timeout(_START_SECONDS):
        await server.start()
    await statuses.set_serving(serving)
    log.info("rpc_listening", address=opened.address, tls=str(secured) if secured else "off")
    try:
        yield opened
    finally:
        await opened.drain(grace_seconds)
        await server.stop(None)  # for a drain that was cancelled half-way


def _rules(services: Sequence[RpcService]) -> Mapping[str, Rule]:
    rules = dict(FIXED)
    for service in services:
        rules |= read_rules(service.descriptor)
        for method in service.descriptor.methods:
            runner(method.full_name, getattr(service.servicer, method.name))  # refuses handlers that would block
    return rules


def _bind(server: grpc.aio.Server, listen: str, tls: ServerTls | None) -> tuple[str, int]:
    split_address(listen)  # gRPC itself takes port 65536 for port 0
    try:
        port = server.add_secure_port(listen, tls.credentials()) if tls else server.add_insecure_port(listen)
        return listen.rpartition(":")[0], port
    except RuntimeError as error:
        raise StartError(f"cannot listen on {listen}: the address is taken or not one of this machine") from error


def _options(max_receive_bytes: int) -> list[tuple[str, int]]:
    return [
        # Two servers on one port would share its calls unseen.
        ("grpc.so_reuseport", 0),
        # A reader that falls behind stops the writer after 64 KiB (2 s of audio), not after 4 MiB.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.max_receive_message_length", max_receive_bytes),
        ("grpc.max_send_message_length", MAX_SEND_BYTES),
        # Clients ping every 10 s to find a frozen server; without this the server hangs up on them.
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        # And the server finds clients that are gone without a goodbye.
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 5_000),
        ("grpc.http2.max_pings_without_data", 0),
    ]
