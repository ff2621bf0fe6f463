"""Channels to other rooms: measured options, and every call carries key, trace, tenant and the caller's deadline.

The metadata is added when a call is made, not by gRPC interceptors: those send each message of a stream through a
queue of one, which costs a third more per message, and wrap the call object. Spans of streams are therefore ours;
those of unary calls come from OpenTelemetry's own instrumentation.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, cast

import grpc
from opentelemetry.trace import NoOpTracer, Span, SpanKind, Tracer
from opentelemetry.trace import StatusCode as SpanStatus

from kit.auth.outgoing import CARRIERS, Credential, header
from kit.auth.principal import TENANT_ID, find_principal
from kit.ids import new_id
from kit.rpc.certificates import CertificateFiles, Material
from kit.rpc.credentials import channel_credentials, process_tls
from kit.rpc.edge import REQUEST_ID
from kit.rpc.renewing import RenewingChannel
from kit.rpc.scope import current_scope
from kit.settings import SettingsError, TlsSettings
from kit.settings.target import channel_target
from kit.telemetry import trace_context, traces
from kit.telemetry.trace_context import TraceContext

MEBIBYTE = 1024 * 1024
MAX_RECEIVE_BYTES = 64 * MEBIBYTE

_SERVICE_CONFIG = '{"loadBalancingConfig": [{"round_robin": {}}]}'

Metadata = list[tuple[str, str | bytes]]
MultiCallable = Callable[..., Any]
Instrumentation = Sequence[grpc.aio.ClientInterceptor]


@asynccontextmanager
async def open_channel(
    target: str,
    *,
    api_key: Credential | None,
    max_receive_bytes: int = MAX_RECEIVE_BYTES,
    tracer: Tracer | None = None,
    instrumentation: Instrumentation | None = None,
    tls: TlsSettings | None = None,
    tenant_id: str | None = None,
) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel for the block. Calls that are open at its end are cancelled.

    Args:
        target: `host:port`, several of them with commas between, or a gRPC name such as
            `dns:///ingest-headless:8021`. Replicas are used in turn; one that is dead or frozen is passed over.
        api_key: key or token of this process, or what gives the present one; None sends none.
        max_receive_bytes: largest response.
        tracer: makes the spans; the process's own if None.
        instrumentation: makes the spans of unary calls; OpenTelemetry's if None and OTEL_ENABLED.
        tls: certificates and whom to believe; what the process's GRPC_TLS_* say if None.
        tenant_id: tenant to act for where no call is being served; None names none.

    Raises:
        ValueError: the target is not one, see `kit.settings.target`.
        SettingsError: TLS is on and a file of it is not in order.
    """
    name = channel_target(target)
    tls = tls or process_tls()
    if instrumentation is None:
        instrumentation = traces.unary_instrumentation()
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", max_receive_bytes),
        # A frozen peer is found after 15 s; gRPC's own keepalive timeout is not honoured.
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 5_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        # The time that one attempt to connect gets, whatever the name says: a busy peer needs more than a moment.
        ("grpc.min_reconnect_backoff_ms", 2_000),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        ("grpc.service_config", _SERVICE_CONFIG),
    ]
    async with _dialled(name, options, list(instrumentation), tls) as channel:
        yield RoomChannel(
            channel,
            api_key,
            tracer or traces.default_tracer(),
            instrumented=bool(instrumentation),
            tenant_id=tenant_id,
        )


def _dialled(
    name: str, options: list[tuple[str, Any]], interceptors: list[grpc.aio.ClientInterceptor], tls: TlsSettings
) -> grpc.aio.Channel:
    if not tls.on:
        return grpc.aio.insecure_channel(name, options=options, interceptors=interceptors)
    if tls.server_name:
        options = [*options, ("grpc.ssl_target_name_override", tls.server_name)]
    elif "," in name:
        raise SettingsError(
            [f"GRPC_TLS_SERVER_NAME: needed for a target of several addresses ({name}), whose certificates bear it"]
        )

    def dial(material: Material) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(name, channel_credentials(material), options=options, interceptors=interceptors)

    return RenewingChannel(CertificateFiles(tls), dial)


class RoomChannel(grpc.aio.Channel):
    """A channel whose calls carry what this process has to say about itself."""

    def __init__(
        self,
        inner: grpc.aio.Channel,
        api_key: Credential | None,
        tracer: Tracer,
        *,
        instrumented: bool = False,
        tenant_id: str | None = None,
    ) -> None:
        self._inner = inner
        self._instrumented = instrumented
        self._key = api_key
        self._tenant_id = tenant_id
        self._tracer = tracer
        self._ending: set[asyncio.Task[None]] = set()

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._calling(method, self._inner.unary_unary(method, *args, **kwargs), unary=True)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._calling(method, self._inner.unary_stream(method, *args, **kwargs))

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._calling(method, self._inner.stream_unary(method, *args, **kwargs))

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return self._calling(method, self._inner.stream_stream(method, *args, **kwargs))

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.close()

    def _calling(self, method: str, multi_callable: object, *, unary: bool = False) -> MultiCallable:
        """Return a function that makes a call as `multi_callable` does, from where its caller stands."""
        make = cast("MultiCallable", multi_callable)
        tracer = NoOpTracer() if unary and self._instrumented else self._tracer

        def call(*args: Any, timeout: float | None = None, metadata: Any = None, **kwargs: Any) -> Any:
            given: Metadata = list(metadata or ())
            named = TraceContext.parse({key: value for key, value in given if isinstance(value, str)})
            span, position = traces.start(
                method.lstrip("/"), kind=SpanKind.CLIENT, parent=named or trace_context.current(), tracer=tracer
            )
            scope = current_scope()
            if timeout is None and unary and scope is not None:
                timeout = scope.remaining_seconds()
            with traces.seen_by_libraries(named or trace_context.current() or position):
                made = make(*args, timeout=timeout, metadata=(*given, *self._ours(given, position)), **kwargs)
            if span.is_recording():
                made.add_done_callback(lambda done: self._end_span(span, done))
            return made

        return call

    def _ours(self, given: Metadata, position: TraceContext) -> Metadata:
        scope, principal = current_scope(), find_principal()
        ours: Metadata = [
            (trace_context.TRACEPARENT, position.traceparent),
            (trace_context.TRACE_ID, position.trace_id),
            (REQUEST_ID, scope.request_id if scope else new_id()),
        ]
        keys = {key for key, _ in given}
        if self._key is not None and keys.isdisjoint(CARRIERS):
            ours.append(header(self._key))
        if scope is not None and principal is not None and principal.via != "public":
            ours.append((TENANT_ID, principal.tenant_id))
        elif self._tenant_id:
            ours.append((TENANT_ID, self._tenant_id))
        return [pair for pair in ours if pair[0] not in keys]

    def _end_span(self, span: Span, call: grpc.aio.Call) -> None:
        async def end() -> None:
            code = await call.code()  # there already: the call is done
            span.set_attribute("rpc.system", "grpc")
            span.set_attribute("rpc.grpc.status_code", code.value[0])
            if code is not grpc.StatusCode.OK:
                span.set_status(SpanStatus.ERROR, code.name)
            span.end()

        task = asyncio.get_running_loop().create_task(end(), name="rpc.end_span")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
