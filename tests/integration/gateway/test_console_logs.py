"""The log lines of the mesh on the real gateway: every room's by time, a dead room named, over gRPC and over HTTP."""

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from structlog.typing import EventDict

from agent.console.v1 import console_service_pb2 as pb
from agent.console.v1.console_service_pb2_grpc import ConsoleServiceStub
from kit.ops.sources import OpsSources
from kit.rpc.calls import held
from kit.rpc.status import error_of
from kit.telemetry.log_tail import LogTail
from tests.integration.gateway.scripted import SERVICE, SERVICE_KEY, USER_KEY, channel_to, running_mesh

KEY = (("x-api-key", SERVICE_KEY),)


def say(tail: LogTail, message: str, level: str = "info", **fields: Any) -> None:
    event: EventDict = {"event": message, "level": level, **fields}
    tail(None, level, event)


class Reader:
    """Reads one stream as consoles do."""

    def __init__(self, call: Any) -> None:
        self.messages: list[str] = []
        self.rooms: set[str] = set()
        self.away: dict[str, str] = {}
        self.ends_of_backlog = 0
        self._call = call

    async def until(self, true: Any) -> None:
        while not true():
            response = await self._call.read()
            assert response is not grpc.aio.EOF
            self.messages += [line.message for line in response.lines]
            self.rooms |= {line.room for line in response.lines}
            self.away |= {room.room: room.error for room in response.away}
            self.ends_of_backlog += not response.lines and not response.away


async def test_rooms_are_joined_by_time_and_a_dead_one_is_named():
    heard, thought = LogTail(), LogTail()
    for number in range(3):
        say(heard, f"ingest_{number}", meeting_id="m-1")
        say(thought, f"stt_{number}", meeting_id="m-1")
    sources = {"ingest": OpsSources(logs=heard), "stt": OpsSources(logs=thought)}
    async with running_mesh(sources=sources) as mesh, channel_to(mesh) as channel:
        await mesh.stop_room("report")
        stub: Any = ConsoleServiceStub(channel)
        asked = pb.TailLogsRequest(rooms=["ingest", "stt", "report"], contains="M-1")
        with held(stub.TailLogs(asked, metadata=KEY)) as call:
            reader = Reader(call)
            await reader.until(lambda: reader.ends_of_backlog and "report" in reader.away)
            assert reader.messages == ["ingest_0", "stt_0", "ingest_1", "stt_1", "ingest_2", "stt_2"]
            assert reader.rooms == {"ingest", "stt"}
            assert set(reader.away) == {"report"}
            say(thought, "not_about_it")
            say(thought, "stt_new", meeting_id="m-1")
            say(heard, "ingest_new", "warning", meeting_id="m-1")
            await reader.until(lambda: len(reader.messages) == 8)
            assert reader.messages[6:] == ["stt_new", "ingest_new"]
            await mesh.stop_room("stt")
            await reader.until(lambda: "stt" in reader.away)


async def test_over_http_each_answer_is_a_line():
    tail = LogTail()
    say(tail, "stream_opened", tracks=3)
    async with running_mesh(sources={"ingest": OpsSources(logs=tail)}) as mesh:
        asking = mesh.http.stream("GET", "/v1/admin/logs", params={"rooms": "ingest"}, headers=SERVICE)
        async with asking as response:
            assert response.status_code == 200
            lines: AsyncIterator[str] = response.aiter_lines()
            (line,) = json.loads(await anext(lines))["lines"]
        assert (line["message"], line["room"], line["level"], line["fields"]) == (
            "stream_opened",
            "ingest",
            "info",
            {"tracks": "3"},
        )


async def test_what_cannot_be_asked_for_names_its_field():
    async with running_mesh() as mesh, channel_to(mesh) as channel:
        stub: Any = ConsoleServiceStub(channel)
        wrong: list[dict[str, Any]] = [{"rooms": ["kitchen"]}, {"min_level": "loud"}, {"backlog": 1001}]
        for asked in wrong:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.TailLogs(pb.TailLogsRequest(**asked), metadata=KEY).read()
            assert [error_of(caught.value).metadata["field"]] == list(asked)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.TailLogs(pb.TailLogsRequest(), metadata=(("x-api-key", USER_KEY),)).read()
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
