"""TailLogs of a room over gRPC: the last lines, then new ones, until the room drains."""

import io
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import structlog

from agent.ops.v1 import ops_service_pb2 as ops
from agent.ops.v1.ops_service_pb2_grpc import OpsServiceStub
from kit.lifecycle import Shutdown
from kit.ops.sources import OpsSources
from kit.room import open_room
from kit.rpc.client import open_channel
from kit.rpc.status import error_of
from kit.settings import RpcSettings
from kit.telemetry import log_tail, logs
from kit.telemetry.log_tail import LogTail
from tests.kit_server import SERVICE_KEY, api_keys


@asynccontextmanager
async def a_room_with(tail: LogTail) -> AsyncIterator[tuple[Any, Shutdown]]:
    shutdown = Shutdown()
    opening = open_room(
        "test",
        listen="127.0.0.1:0",
        metrics_listen=None,
        services=[],
        auth=api_keys(),
        shutdown=shutdown,
        sources=OpsSources(logs=tail),
        rpc=RpcSettings(grpc_grace_seconds=2.0),
    )
    async with opening as room, open_channel(room.server.address, api_key=SERVICE_KEY) as channel:
        yield OpsServiceStub(channel), shutdown


def say(tail: LogTail, message: str, level: str = "info", **fields: object) -> None:
    tail(None, level, {"event": message, "level": level, **fields})


async def test_the_last_lines_then_new_ones_until_the_room_drains() -> None:
    tail = LogTail(max_lines=5)
    for number in range(4):
        say(tail, f"old_{number}", "warning", trace_id="ab" * 16)
    async with a_room_with(tail) as (stub, shutdown):
        call = stub.TailLogs(ops.TailLogsRequest(backlog=2, min_level="warning"))
        first = await call.read()
        assert [line.message for line in first.lines] == ["old_2", "old_3"]
        assert (first.lines[0].room, first.lines[0].level, first.lines[0].trace_id) == ("test", "warning", "ab" * 16)
        assert first.lines[0].time.seconds
        for number in range(20):  # at once: more than are kept
            say(tail, f"new_{number}", "error" if number % 2 else "info", meeting_id="m-1")
        second = await call.read()
        assert [line.message for line in second.lines] == ["new_15", "new_17", "new_19"]
        assert second.dropped == 15
        assert second.lines[0].fields == {"meeting_id": "m-1"}
        shutdown.requested.set()
        async with grpc_end(call) as rest:
            assert [line.message for line in rest] == []


@asynccontextmanager
async def grpc_end(call: Any) -> AsyncIterator[list[ops.LogLine]]:
    """Give the lines that come before the stream ends by itself."""
    lines: list[ops.LogLine] = []
    while (response := await call.read()) is not grpc.aio.EOF:
        lines += response.lines
    assert await call.code() is grpc.StatusCode.OK
    yield lines


async def test_text_is_found_in_any_case_and_wrong_requests_name_their_field() -> None:
    tail = LogTail()
    say(tail, "joined", meeting="Board-7")
    say(tail, "left", meeting="weekly")
    async with a_room_with(tail) as (stub, _):
        first = await stub.TailLogs(ops.TailLogsRequest(contains="bOARD")).read()
        assert [line.message for line in first.lines] == ["joined"]
        none = await stub.TailLogs(ops.TailLogsRequest(contains="nowhere")).read()
        assert not none.lines
        wrong: list[dict[str, Any]] = [{"min_level": "loud"}, {"contains": "x" * 201}, {"backlog": -1}]
        for asked in wrong:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.TailLogs(ops.TailLogsRequest(**asked)).read()
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert [error_of(caught.value).metadata["field"]] == list(asked)


async def test_a_tail_does_not_feed_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    tail = LogTail()
    monkeypatch.setattr(log_tail, "PROCESS", tail)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    logs.configure("test", "debug", stream=io.StringIO())
    try:
        async with a_room_with(tail) as (stub, _):
            call = stub.TailLogs(ops.TailLogsRequest())
            await call.read()
            heard: list[str] = []
            for number in range(3):
                logs.get().debug(f"mark_{number}")
                while f"mark_{number}" not in heard:
                    heard += [line.message for line in (await call.read()).lines]
            assert heard == ["mark_0", "mark_1", "mark_2"]
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
