"""Trace ids that follow a request through every room, and the spans made from them when OpenTelemetry is on.

The ids exist without OpenTelemetry too: a log line always names its trace.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING

import grpc
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags, Tracer

from kit.settings import TelemetrySettings, load
from kit.telemetry import logs
from kit.telemetry.trace_context import TraceContext, current, move_back, move_to

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_FLUSH_SECONDS = 2.0
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)

log = logs.get()


_open_span: ContextVar[Span] = ContextVar("open_span", default=trace.INVALID_SPAN)


def begin(name: str, *, kind: SpanKind, parent: TraceContext | None, tracer: Tracer) -> Span:
    """Start a span below `parent` (a new trace if None) and make it this task's position.

    The position is set and never reset: for tasks that end with the span, as an RPC's does. Others use `span`.
    """
    started, position = start(name, kind=kind, parent=parent, tracer=tracer)
    move_to(position)
    _open_span.set(started)
    return started


def start(name: str, *, kind: SpanKind, parent: TraceContext | None, tracer: Tracer) -> tuple[Span, TraceContext]:
    """Start a span below `parent` without moving there; returns the span, to be ended, and its position."""
    trace_id = parent.trace_id if parent else secrets.token_hex(16)
    parent_id = (parent.span_id if parent else "") or secrets.token_hex(8)
    remote = SpanContext(int(trace_id, 16), int(parent_id, 16), is_remote=True, trace_flags=TraceFlags(1))
    started = tracer.start_span(name, trace.set_span_in_context(NonRecordingSpan(remote)), kind=kind)
    ids = started.get_span_context()
    span_id = trace.format_span_id(ids.span_id) if started.is_recording() else secrets.token_hex(8)
    return started, TraceContext(trace_id, span_id, parent.span_id if parent else "")


@contextmanager
def span(
    name: str, *, parent: TraceContext | None = None, kind: SpanKind = SpanKind.INTERNAL, tracer: Tracer | None = None
) -> Iterator[Span]:
    """Run the block as a span below `parent`, or below this task's position; a job passes what it was enqueued with."""
    started, position = start(name, kind=kind, parent=parent or current(), tracer=tracer or default_tracer())
    position_token, span_token = move_to(position), _open_span.set(started)
    try:
        yield started
    except BaseException as error:
        started.record_exception(error)
        started.set_status(trace.StatusCode.ERROR)
        raise
    finally:
        move_back(position_token)
        _open_span.reset(span_token)
        started.end()


def annotate(**attributes: str | int | float | bool) -> None:
    """Put attributes on this task's span, for example `meeting_id`."""
    _open_span.get().set_attributes(attributes)


@contextmanager
def seen_by_libraries(position: TraceContext) -> Iterator[None]:
    """Let instrumentation of others start its spans below `position` in the block."""
    span_id = position.span_id or secrets.token_hex(8)  # a caller may name a trace alone
    remote = SpanContext(int(position.trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)
    token = otel_context.attach(trace.set_span_in_context(NonRecordingSpan(remote)))
    try:
        yield
    finally:
        otel_context.detach(token)


def unary_instrumentation(provider: trace.TracerProvider | None = None) -> Sequence[grpc.aio.ClientInterceptor]:
    """Return OpenTelemetry's own interceptor for unary calls; none unless OTEL_ENABLED or a provider is given.

    Its interceptors for streams are left out: they slow each message, and the one for servers breaks handlers that
    read and write.
    """
    (settings,) = load(TelemetrySettings)
    if provider is None and not settings.otel_enabled:
        return ()
    try:
        from opentelemetry.instrumentation.grpc import aio_client_interceptors
    except ImportError:
        return ()
    found = aio_client_interceptors(provider)  # type: ignore[no-untyped-call]
    return [one for one in found if isinstance(one, grpc.aio.UnaryUnaryClientInterceptor)]


def default_tracer() -> Tracer:
    """Return the process's tracer: it does nothing until `open_traces` finds OpenTelemetry switched on."""
    return trace.get_tracer("agent")


@asynccontextmanager
async def open_traces(room: str, settings: TelemetrySettings) -> AsyncIterator[None]:
    """Export spans for the block. Without the SDK, or with a collector that is away, the room works on."""
    provider = _provider(room, settings) if settings.otel_enabled else None
    if provider is not None:
        trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        if provider is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await asyncio.to_thread(provider.shutdown)


def _provider(room: str, settings: TelemetrySettings) -> "TracerProvider | None":
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("traces_unavailable", reason="the telemetry extra is not installed")
        return None
    endpoint = settings.otel_exporter_otlp_endpoint.rstrip("/") + "/v1/traces"
    provider = TracerProvider(resource=Resource.create({"service.name": f"agent-{room}"}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_FLUSH_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter, export_timeout_millis=_FLUSH_SECONDS * 1000))
    return provider
