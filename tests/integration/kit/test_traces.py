"""Spans across rooms, and a collector that may be away."""

import asyncio

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kit.rpc.client import open_channel
from kit.settings import TelemetrySettings
from kit.telemetry import trace_context, traces
from tests.integration.kit.test_server import TRACE, Generators, Readers, every_rpc
from tests.kit_server import USER_KEY, Echo, EchoStub, eventually, running_echo


@pytest.mark.parametrize("by_library", [False, True])
@pytest.mark.parametrize("style", [Echo, Generators, Readers])
async def test_client_and_server_spans_of_every_style_join_in_one_trace(style: type[Echo], by_library: bool) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("tests")
    async with (
        running_echo(style(), tracer=tracer) as echo,
        open_channel(
            echo.server.address,
            api_key=USER_KEY,
            tracer=tracer,
            instrumentation=traces.unary_instrumentation(provider) if by_library else (),
        ) as channel,
    ):
        stub = EchoStub(channel, echo.service)
        with traces.span("job", parent=trace_context.TraceContext(TRACE, "b7ad6b7169203331"), tracer=tracer):
            assert not [answer for answer in await every_rpc(stub) if isinstance(answer, Exception)]
        await eventually(lambda: len(exporter.get_finished_spans()) == 9)
    spans = exporter.get_finished_spans()
    assert {trace.format_trace_id(span.context.trace_id) for span in spans} == {TRACE}
    by_id = {span.context.span_id: span for span in spans}

    def parent(span: ReadableSpan) -> ReadableSpan | None:
        return by_id.get(span.parent.span_id) if span.parent else None

    servers = [span for span in spans if span.kind is trace.SpanKind.SERVER]
    assert len(servers) == 4
    for server in servers:
        client = parent(server)
        assert client is not None
        assert (client.kind, client.name.lstrip("/")) == (trace.SpanKind.CLIENT, server.name)
        assert client.attributes is not None
        assert client.attributes["rpc.grpc.status_code"] == 0
        job = parent(client)
        assert job is not None
        assert job.name == "job"
    provider.shutdown()


async def test_a_collector_that_is_away_harms_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    provider: list[TracerProvider] = []
    monkeypatch.setattr(trace, "set_tracer_provider", provider.append)
    settings = TelemetrySettings(otel_enabled=True, otel_exporter_otlp_endpoint="http://127.0.0.1:1")
    async with asyncio.timeout(10):
        async with traces.open_traces("test", settings), running_echo() as echo:
            tracer = provider[0].get_tracer("tests")
            with traces.span("job", tracer=tracer):
                assert not [answer for answer in await every_rpc(echo.stub) if isinstance(answer, Exception)]


async def test_without_otel_nothing_is_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "set_tracer_provider", lambda provider: pytest.fail("a provider was set"))
    async with traces.open_traces("test", TelemetrySettings(otel_enabled=False)):
        with traces.span("job") as span:
            assert not span.is_recording()
            assert trace_context.current() is not None
