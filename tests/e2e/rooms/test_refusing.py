"""A refused key: the same answer from every room on every way in, and no key in any log, however chatty."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import httpx2
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agent.connector.v1 import connector_service_pb2 as connector
from agent.connector.v1.connector_service_pb2_grpc import ConnectorServiceStub
from agent.console.v1 import console_service_pb2 as console
from agent.console.v1.console_service_pb2_grpc import ConsoleServiceStub
from agent.ingest.v1 import audio_service_pb2 as audio
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.audio_service_pb2_grpc import InternalAudioServiceStub
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from agent.ops.v1 import ops_service_pb2 as ops
from agent.ops.v1.ops_service_pb2_grpc import OpsServiceStub
from agent.report.v1 import report_service_pb2 as reports
from agent.report.v1.report_service_pb2_grpc import ReportServiceStub
from agent.stt.v1 import stt_service_pb2 as speech
from agent.stt.v1.stt_service_pb2_grpc import SpeechServiceStub
from kit.rpc.client import open_channel
from tests.e2e.rooms.process import (
    ROOMS,
    SERVICE_KEY,
    UNKNOWN_KEY,
    USER_KEY,
    RoomProcess,
    problem_of,
    room_process,
)
from tests.kit_server import health_stub, reflection_stub

UNAUTHENTICATED = (grpc.StatusCode.UNAUTHENTICATED, "ERROR_REASON_UNAUTHENTICATED")
DENIED = (grpc.StatusCode.PERMISSION_DENIED, "ERROR_REASON_PERMISSION_DENIED")
CHATTY = {"LOG_LEVEL": "debug"}

Call = Callable[[grpc.aio.Channel], Awaitable[Any]]


async def recognise(channel: grpc.aio.Channel) -> Any:
    call: Any = SpeechServiceStub(channel).StreamingRecognize()
    await call.write(speech.StreamingRecognizeRequest(open=speech.RecognizeOpen()))
    return await call.read()


async def put_internal_chunk(channel: grpc.aio.Channel) -> Any:
    request = audio.PutInternalChunkRequest(meeting_id="none", chunk=audio.PutChunkRequest(content=b"x"))
    return await InternalAudioServiceStub(channel).PutInternalChunk(request)


async def list_sessions(channel: grpc.aio.Channel) -> Any:
    return await ConnectorServiceStub(channel).ListSessions(connector.ListSessionsRequest())


async def follow(channel: grpc.aio.Channel) -> Any:
    call: Any = ReportServiceStub(channel).FollowTranscript()
    await call.write(reports.FollowTranscriptRequest(open=reports.FollowOpen(meeting_id="none")))
    return await call.read()


async def watch_console(channel: grpc.aio.Channel) -> Any:
    call: Any = ConsoleServiceStub(channel).WatchConsole(console.WatchConsoleRequest())
    return await call.read()


async def readiness(channel: grpc.aio.Channel) -> Any:
    return await OpsServiceStub(channel).GetReadiness(ops.GetReadinessRequest())


SERVICE_CALLS: dict[str, Call] = {
    "stt": recognise,
    "ingest": put_internal_chunk,
    "connector": list_sessions,
    "report": follow,
    "gateway": watch_console,
}
"""A call of each room that only services may make."""


async def refusal(process: RoomProcess, key: str | None, call: Call) -> tuple[grpc.StatusCode, str]:
    """Make a call that must fail; returns code and reason."""
    async with open_channel(process.address, api_key=key) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel)
    assert key is None or key not in (caught.value.details() or "")
    return problem_of(caught.value)


@pytest.mark.parametrize("room", ROOMS)
async def test_each_room_knows_its_callers(room: str):
    own = SERVICE_CALLS[room]
    async with room_process(room, **CHATTY) as process:
        for call in (own, readiness):
            assert await refusal(process, None, call) == UNAUTHENTICATED
            assert await refusal(process, UNKNOWN_KEY, call) == UNAUTHENTICATED
            assert await refusal(process, USER_KEY, call) == DENIED
        async with open_channel(process.address, api_key=SERVICE_KEY) as channel:
            assert (await readiness(channel)).checks or room == "stt"
            if room in {"stt", "connector", "gateway"}:  # the others want a meeting
                await own(channel)
        async with open_channel(process.address, api_key=None) as channel:
            bearer = (("authorization", f"Bearer {SERVICE_KEY}"),)
            await OpsServiceStub(channel).GetReadiness(ops.GetReadinessRequest(), metadata=bearer)
            status = await health_stub(channel).Check(health_pb2.HealthCheckRequest())
            assert status.status == health_pb2.HealthCheckResponse.SERVING, "probes have no key"
            asked = reflection_pb2.ServerReflectionRequest(list_services="")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await reflection_stub(channel).ServerReflectionInfo(iter([asked])).read()
            assert problem_of(caught.value) == UNAUTHENTICATED
        ended = await process.stop()
    assert ended.status == 0
    assert ended.events.count("security_audit_deny") >= 6
    assert "security_audit_allow" in ended.events
    assert all(secret not in ended.output for secret in (USER_KEY, SERVICE_KEY, UNKNOWN_KEY))


async def test_a_user_key_is_enough_for_a_user_and_for_nobody_else():
    async with (
        room_process("ingest", **CHATTY) as ingest,
        open_channel(ingest.address, api_key=USER_KEY) as channel,
    ):
        await MeetingServiceStub(channel).ListMeetings(meetings.ListMeetingsRequest())
        other = (("x-tenant-id", "somebody-else"),)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await MeetingServiceStub(channel).ListMeetings(meetings.ListMeetingsRequest(), metadata=other)
        assert problem_of(caught.value) == DENIED


async def test_the_gateway_says_it_over_http_and_on_sockets():
    async with (
        room_process("ingest", **CHATTY) as ingest,
        room_process("gateway", INGEST_TARGET=ingest.address, **CHATTY) as gateway,
        httpx2.AsyncClient(base_url=gateway.url, timeout=20) as client,
    ):
        for headers in ({}, {"x-api-key": UNKNOWN_KEY}, {"authorization": f"Bearer {UNKNOWN_KEY}"}):
            answer = await client.get("/v1/meetings", headers=headers)
            check_problem(answer, 401, "ERROR_REASON_UNAUTHENTICATED")
            assert answer.headers["www-authenticate"] == "Bearer"
        assert (await client.get("/v1/meetings", headers={"x-api-key": USER_KEY})).status_code == 200
        internal = "/v1/internal/meetings/none/chunks"
        check_problem(
            await client.post(internal, headers={"x-api-key": USER_KEY}, json={"content": "AAAA"}),
            403,
            "ERROR_REASON_PERMISSION_DENIED",
        )
        watch = {"type": "watch", "meeting_id": "none"}
        assert await close_code(gateway, "/v1/ws", watch) == 4401
        assert await close_code(gateway, "/v1/ws", {**watch, "api_key": UNKNOWN_KEY}) == 4401
        assert await close_code(gateway, "/v1/ws", {**watch, "api_key": USER_KEY}) == 4404, "let in, but nothing there"
        assert await close_code(gateway, "/v1/ws/internal", watch) == 4401
        assert await close_code(gateway, "/v1/ws/internal", {**watch, "api_key": USER_KEY}) == 4403
        with pytest.raises(InvalidStatus) as refused:
            await connect(socket_url(gateway, "/v1/ws"), origin="https://elsewhere.example")  # type: ignore[arg-type]
        assert refused.value.response.status_code == 403
        chatter = gateway.output + ingest.output
    assert "websocket_crashed" not in chatter
    assert "http_request_crashed" not in chatter


def check_problem(answer: httpx2.Response, status: int, reason: str) -> None:
    """Check a problem document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert (document["status"], document["reason"]) == (status, reason)
    assert document["title"]
    assert document["trace_id"]
    assert all(key not in answer.text for key in (USER_KEY, UNKNOWN_KEY, SERVICE_KEY))


def socket_url(gateway: RoomProcess, path: str) -> str:
    """Return where a WebSocket is."""
    return gateway.url.replace("http", "ws", 1) + path


async def close_code(gateway: RoomProcess, path: str, first: dict[str, str]) -> int:
    """Open a socket, say `first`, and return the code that it is closed with."""
    async with connect(socket_url(gateway, path), open_timeout=20) as socket:
        await socket.send(json.dumps(first))
        try:
            while True:
                assert json.loads(await socket.recv())["type"] == "error"
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 0
