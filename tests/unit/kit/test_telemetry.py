"""Log lines and trace positions."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from structlog.contextvars import clear_contextvars

from kit.telemetry import logs, trace_context, traces
from kit.telemetry.trace_context import TraceContext

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    clear_contextvars()


def read(lines: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_a_line_names_its_room_trace_and_meeting(lines: io.StringIO) -> None:
    logs.configure("stt", stream=lines)
    with traces.span("job", parent=TraceContext(TRACE, SPAN)), logs.bind(meeting_id="m-1"):
        logs.get().info("settled", segments=3)
    logs.get().info("outside")
    inside, outside = read(lines)
    assert inside["event"] == "settled"
    assert (inside["room"], inside["level"], inside["segments"]) == ("stt", "info", 3)
    assert (inside["trace_id"], inside["parent_span_id"], inside["meeting_id"]) == (TRACE, SPAN, "m-1")
    assert len(str(inside["span_id"])) == 16
    assert "trace_id" not in outside
    assert "meeting_id" not in outside


def test_lines_of_libraries_look_like_ours_and_chatter_is_left_out(lines: io.StringIO) -> None:
    logs.configure("stt", "info", stream=lines)
    logs.get().debug("not_written")
    logging.getLogger("some.library").info("hello %s", "you")
    logging.getLogger("grpc._cython").info("not written either")
    try:
        raise ValueError("wrong")
    except ValueError:
        logs.get().exception("failed")
    library, failure = read(lines)
    assert (library["event"], library["logger"], library["room"]) == ("hello you", "some.library", "stt")
    assert "ValueError: wrong" in str(failure["exception"])


def test_people_may_have_coloured_lines(lines: io.StringIO) -> None:
    logs.configure("stt", "debug", "console", stream=lines)
    logs.get().debug("settled", segments=3)
    assert "settled" in lines.getvalue()
    assert "segments=3" in lines.getvalue()


def test_a_caller_says_where_it_stands() -> None:
    assert TraceContext.parse({"traceparent": f"00-{TRACE}-{SPAN}-01"}) == TraceContext(TRACE, SPAN)
    assert TraceContext.parse({"x-trace-id": TRACE.upper()}) == TraceContext(TRACE, "")
    for wrong in ({}, {"x-trace-id": "abc"}, {"x-trace-id": "0" * 32}, {"traceparent": f"00-{'0' * 32}-{SPAN}-01"}):
        assert TraceContext.parse(wrong) is None


def test_spans_nest_and_leave_no_trace_behind() -> None:
    with traces.span("outer"):
        outer = trace_context.current()
        with traces.span("inner"):
            inner = trace_context.current()
        assert trace_context.current() == outer
    assert trace_context.current() is None
    assert outer is not None
    assert inner is not None
    assert (inner.trace_id, inner.parent_span_id) == (outer.trace_id, outer.span_id)
    assert TraceContext.parse({"traceparent": inner.traceparent}) == TraceContext(inner.trace_id, inner.span_id)
