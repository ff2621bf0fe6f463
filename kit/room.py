"""A room: its server with health, reflection and the operator's service, its metrics, and how it stops."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from kit.audit.decision import AuditSink
from kit.audit.origin import Origins
from kit.auth.authenticator import Authenticator
from kit.lifecycle import Shutdown, blaming
from kit.ops.readiness import ReadinessWatch
from kit.ops.servicer import Ops, ops_rpc_service
from kit.ops.sources import Check, OpsSources, Readiness, always_ready
from kit.rpc.server import MAX_RECEIVE_BYTES, RpcServer, RpcService, open_server
from kit.settings import RpcSettings, TelemetrySettings, TlsSettings
from kit.telemetry.metrics import open_metrics
from kit.telemetry.traces import open_traces

_CALLS_SHARE = 0.8  # of the grace; the rest is for databases, journals and spans to close


class Room:
    """A room that serves."""

    def __init__(self, server: RpcServer, metrics_port: int | None) -> None:
        self.server = server
        self.metrics_port = metrics_port
        self._stopped = asyncio.Event()

    async def stopped(self) -> None:
        """Wait until the room was asked to stop and every call has ended."""
        await self._stopped.wait()

    async def stop_on(self, shutdown: Shutdown, grace_seconds: float) -> None:
        """Wait for the wish to stop, then drain."""
        await shutdown.requested.wait()
        await self.server.drain(grace_seconds)
        self._stopped.set()


@asynccontextmanager
async def open_room(
    room: str,
    *,
    listen: str,
    metrics_listen: str | None,
    services: Sequence[RpcService],
    auth: Authenticator,
    shutdown: Shutdown,
    readiness: Readiness = always_ready,
    sources: OpsSources | None = None,
    rpc: RpcSettings | None = None,
    telemetry: TelemetrySettings | None = None,
    fail_fast: bool = False,
    max_receive_bytes: int = MAX_RECEIVE_BYTES,
    audit: AuditSink | None = None,
    origins: Origins | None = None,
    tls: TlsSettings | None = None,
    client_certificates: bool = True,
) -> AsyncIterator[Room]:
    """Run a room's server for the block; `await room.stopped()` in it.

    After `shutdown.requested`: health says NOT_SERVING, `shutdown.draining` is set (servicers say goodbye on their
    streams), no new calls are taken, open ones get most of the grace, then `room.stopped()` returns.

    Args:
        room: name, for example "ingest".
        listen: `host:port` of the gRPC server.
        metrics_listen: `host:port` of `/metrics`; None when the room serves them itself.
        services: the room's own services.
        auth: says who calls.
        shutdown: the process's wish to stop.
        readiness: the room's checks.
        sources: what the room tells operators.
        rpc: settings of the server; the defaults if None.
        telemetry: settings of the traces; none are exported if None.
        fail_fast: whether a failed check at the start ends the room.
        max_receive_bytes: largest request.
        audit: keeps the decisions about access; the log alone if None.
        origins: reads which HTTP request a call stands for; none is believed if None.
        tls: certificates of the room; what the process's GRPC_TLS_* say if None.
        client_certificates: whether callers must show a certificate too, when TLS is on.

    Raises:
        StartError: an address is taken, or a check failed and `fail_fast`.
    """
    rpc = rpc or RpcSettings()
    grace_seconds = rpc.grpc_grace_seconds * _CALLS_SHARE
    ops = Ops(room, sources or OpsSources(), shutdown.draining)
    async with AsyncExitStack() as stack:
        if telemetry is not None:
            await stack.enter_async_context(open_traces(room, telemetry))
        metrics_port = None
        if metrics_listen:
            with blaming(f"{room.upper()}_METRICS_LISTEN"):
                metrics_port = await stack.enter_async_context(open_metrics(metrics_listen))
        # A room that serves its metrics itself has an HTTP server, and <ROOM>_LISTEN is that one's address.
        with blaming(f"{room.upper()}_{'LISTEN' if metrics_listen else 'GRPC_LISTEN'}"):
            server = await stack.enter_async_context(
                open_server(
                    listen,
                    services=[*services, ops_rpc_service(ops)],
                    auth=auth,
                    room=room,
                    draining=shutdown.draining,
                    reflection=rpc.grpc_reflection_enabled,
                    max_receive_bytes=max_receive_bytes,
                    audit=audit,
                    origins=origins,
                    tls=tls,
                    client_certificates=client_certificates,
                    grace_seconds=grace_seconds,
                    serving=False,  # until the first checks have passed
                )
            )

        async def ready() -> Sequence[Check]:
            certificate = server.tls.files.checks() if server.tls else []
            return [*await auth.checks(), *certificate, *await readiness()]

        watch = ReadinessWatch(ready, server.health, interval_seconds=rpc.readiness_interval_seconds)
        ops.attach(server, watch)
        await watch.start(fail_fast=fail_fast)
        opened = Room(server, metrics_port)
        async with asyncio.TaskGroup() as tasks:
            checking = tasks.create_task(watch.run(), name=f"{room}.readiness")
            stopping = tasks.create_task(opened.stop_on(shutdown, grace_seconds), name=f"{room}.stop")
            try:
                yield opened
            finally:
                checking.cancel()
                if not shutdown.requested.is_set():
                    stopping.cancel()
