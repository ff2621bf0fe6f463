"""Operator actions through the real gateway: carried out by the rooms, once, as the caller, only in the state seen."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from agent.connector.v1 import connector_service_pb2 as connector
from agent.connector.v1.connector_service_pb2_grpc import (
    ConnectorServiceServicer,
    ConnectorServiceStub,
    add_ConnectorServiceServicer_to_server,
)
from agent.console.v1 import console_service_pb2 as pb
from agent.console.v1.console_service_pb2_grpc import ConsoleServiceStub
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from agent.ops.v1 import ops_service_pb2 as ops
from kit.auth.principal import ADMIN_READ, Principal, current_principal
from kit.errors import FailedPrecondition
from kit.lifecycle import Shutdown
from kit.ops.sources import Check, OpsSources
from kit.room import open_room
from kit.rpc.server import RpcService
from kit.rpc.status import error_of
from tests.integration.gateway import interview
from tests.integration.gateway.scripted import SERVICE_KEY, Mesh, api_keys, channel_to, running_mesh
from tests.integration.gateway.test_admin import Jobs
from tests.kit_server import eventually

VIEWER_KEY = "viewer-key-of-the-tests"
OPERATOR = (("x-api-key", SERVICE_KEY), ("x-tenant-id", "acme"))
VIEWER = (("x-api-key", VIEWER_KEY),)


class Callers:
    """The keys of the tests, and one that only looks."""

    def __init__(self) -> None:
        self._keys = api_keys()

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        if metadata.get("x-api-key") == VIEWER_KEY:
            return Principal("vera", "service", scopes=frozenset({ADMIN_READ}))
        return await self._keys.authenticate(metadata)

    async def checks(self) -> Sequence[Check]:
        return ()


class Connector(ConnectorServiceServicer):
    """Remembers what it was asked, and by whom."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, str]] = []
        self.breaker = "open"

    async def Join(self, request: Any, context: Any) -> Any:
        return connector.JoinResponse(session=self._session("Join", request, connector.SESSION_STATE_JOINING))

    async def Leave(self, request: Any, context: Any) -> Any:
        return connector.LeaveResponse(session=self._session("Leave", request, connector.SESSION_STATE_ENDED))

    async def Reconnect(self, request: Any, context: Any) -> Any:
        session = self._session("Reconnect", request, connector.SESSION_STATE_RECONNECTING)
        return connector.ReconnectResponse(session=session)

    async def Reconcile(self, request: Any, context: Any) -> Any:
        self._note("Reconcile", request)
        return connector.ReconcileResponse(scanned=3, rejoined=1)

    async def LivePull(self, request: Any, context: Any) -> Any:
        self._note("LivePull", request)
        return connector.LivePullResponse(scanned=2, ingested=7)

    async def ResetCircuitBreaker(self, request: Any, context: Any) -> Any:
        self._note("ResetCircuitBreaker", request)
        assert request.provider == "sberjazz"
        if request.expected_state not in ("", self.breaker):
            raise FailedPrecondition(expected=request.expected_state, actual=self.breaker)
        self.breaker = "closed"
        return connector.ResetCircuitBreakerResponse(breaker=connector.CircuitBreaker(state="closed"))

    async def GetStatus(self, request: Any, context: Any) -> Any:
        session = self._session("GetStatus", request, connector.SESSION_STATE_LIVE)
        return connector.GetStatusResponse(session=session)

    def _session(self, rpc: str, request: Any, state: Any) -> connector.Session:
        self._note(rpc, request)
        return connector.Session(meeting_id=request.meeting_id, provider=request.provider or "room", state=state)

    def _note(self, rpc: str, request: Any) -> None:
        self.calls.append((rpc, request, current_principal().tenant_id))


@asynccontextmanager
async def acting(jobs: Jobs | None = None) -> AsyncIterator[tuple[Mesh, Connector, Any]]:
    """Open a mesh with one live session "m-1"; give a stub of the console with it."""
    room = Connector()  # type: ignore[abstract]  # the rest answers UNIMPLEMENTED

    async def told() -> list[ops.SessionStatus]:
        return [ops.SessionStatus(meeting_id="m-1", state="LIVE")]

    sources = {"ingest": OpsSources(sessions=told), "report": OpsSources(jobs=jobs or Jobs())}
    service = RpcService(
        connector.DESCRIPTOR.services_by_name["ConnectorService"],
        room,
        add_ConnectorServiceServicer_to_server,
    )
    async with (
        open_room(
            "connector",
            listen="127.0.0.1:0",
            metrics_listen=None,
            services=[service],
            auth=Callers(),
            shutdown=Shutdown(),
        ) as served,
        running_mesh(Callers(), sources=sources, elsewhere={"connector": served.server.address}) as mesh,
        channel_to(mesh) as channel,
    ):
        stub: Any = ConsoleServiceStub(channel)
        await eventually(lambda: _session_is_on_the_board(stub))
        yield mesh, room, stub


async def _session_is_on_the_board(stub: Any) -> bool:
    call = stub.WatchConsole(pb.WatchConsoleRequest(topics=["sessions"]), metadata=OPERATOR)
    frame = await call.read()
    call.cancel()
    return bool(frame.snapshot.sessions)


async def act(stub: Any, action: str, target: str = "", **more: Any) -> str:
    request = pb.RunActionRequest(**{"action": action, "target": target, "request_id": "r-1", **more})
    return str((await stub.RunAction(request, metadata=OPERATOR)).message)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    problem = error_of(caught.value)
    return problem.code, problem.reason


async def test_session_actions_reach_the_connector_as_the_caller():
    async with acting() as (_, room, stub):
        assert "joining m-2 through sberjazz" in await act(stub, "session.join", "m-2", provider="sberjazz")
        said = await act(stub, "session.leave", "m-1", expected_state="LIVE", reason="over", request_id="r-2")
        assert said == "The recorder has left m-1; its session is ended."
        assert "joins again" in await act(stub, "session.reconnect", "m-1", request_id="r-3")
        assert [(rpc, tenant) for rpc, _, tenant in room.calls] == [
            ("Join", "acme"),
            ("Leave", "acme"),
            ("Reconnect", "acme"),
        ]
        assert room.calls[1][1].reason == "over"


async def test_the_connector_as_a_whole_is_reconciled_and_pulled_and_its_breakers_reset():
    async with acting() as (_, room, stub):
        assert "3 sessions: 1 rejoined" in await act(stub, "connector.reconcile")
        assert "7 chunks stored" in await act(stub, "connector.live_pull", request_id="r-2")
        # By the name that the console shows; the provider's alone, as people write it, means the same.
        said = await act(stub, "breaker.reset", "connector.sberjazz", expected_state="open", request_id="r-3")
        assert said == "The breaker of connector.sberjazz is closed."
        again = act(stub, "breaker.reset", "sberjazz", expected_state="open", request_id="r-4")
        assert await refusal(again) == (grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_STATE_CHANGED")
        assert room.breaker == "closed"


async def test_a_changed_state_refuses_before_anything_is_done():
    async with acting() as (_, room, stub):
        stale = act(stub, "session.leave", "m-1", expected_state="FAILED")
        assert await refusal(stale) == (grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_STATE_CHANGED")
        gone = act(stub, "session.leave", "m-9", expected_state="LIVE")
        assert await refusal(gone) == (grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_STATE_CHANGED")
        assert room.calls == []


async def test_a_repeated_request_is_answered_and_not_repeated():
    async with acting() as (_, room, stub):
        first = await act(stub, "session.leave", "m-1")
        assert await act(stub, "session.leave", "m-1") == first
        assert len(room.calls) == 1
        reused = (grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_REQUEST_ID_REUSED")
        assert await refusal(act(stub, "session.leave", "m-2")) == reused


async def test_dead_letters_are_requeued_and_dropped_in_the_room_that_has_them():
    jobs = Jobs()
    async with acting(jobs) as (_, _, stub):
        said = await act(stub, "job.requeue", "report/j1", expected_state="dead")
        assert said == "Job j1 of report is ready again."
        assert "gone" in await act(stub, "job.drop", "report/j2", expected_state="dead", request_id="r-2")
        assert "j2" not in jobs.rows
        moved = act(stub, "job.drop", "report/j1", expected_state="dead", request_id="r-3")
        assert (await refusal(moved))[0] is grpc.StatusCode.FAILED_PRECONDITION
        missing = act(stub, "job.requeue", "report/j9", expected_state="dead", request_id="r-4")
        assert (await refusal(missing))[0] is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "request_fields",
    [
        {"action": "mesh.explode", "request_id": "r"},
        {"action": "session.leave", "target": "m-1"},
        {"action": "session.leave", "request_id": "r"},
        {"action": "job.drop", "target": "j1", "request_id": "r"},
        {"action": "breaker.reset", "target": "stt.whisper", "request_id": "r"},
        {"action": "connector.reconcile", "expected_state": "LIVE", "request_id": "r"},
        {"action": "session.leave", "target": "m-1", "request_id": "r", "reason": "x" * 501},
    ],
)
async def test_a_request_that_cannot_be_meant_is_refused(request_fields: dict[str, str]):
    async with acting() as (_, room, stub):
        call = stub.RunAction(pb.RunActionRequest(**request_fields), metadata=OPERATOR)
        assert await refusal(call) == (grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_INVALID_FIELD")
        assert room.calls == []


async def test_a_viewer_is_told_so_and_may_look_but_not_act():
    async with acting() as (mesh, room, stub):
        caller = await stub.WhoAmI(pb.WhoAmIRequest(), metadata=VIEWER)
        assert (caller.subject, caller.role) == ("vera", "viewer")
        assert (await stub.WhoAmI(pb.WhoAmIRequest(), metadata=OPERATOR)).role == "operator"
        request = pb.RunActionRequest(action="session.leave", target="m-1", request_id="r-1")
        assert (await refusal(stub.RunAction(request, metadata=VIEWER)))[0] is grpc.StatusCode.PERMISSION_DENIED
        assert room.calls == []
        async with channel_to(mesh) as channel:
            connectors: Any = ConnectorServiceStub(channel)
            status = await connectors.GetStatus(connector.GetStatusRequest(meeting_id="m-1"), metadata=VIEWER)
            assert status.session.meeting_id == "m-1"
            leave = connectors.Leave(connector.LeaveRequest(meeting_id="m-1"), metadata=OPERATOR)
            assert (await refusal(leave))[0] is grpc.StatusCode.UNIMPLEMENTED  # changes are actions


async def test_live_text_passes_through_and_ends_with_the_gateway():
    async with acting() as (mesh, _, _), channel_to(mesh) as channel:
        stub: Any = MeetingServiceStub(channel)
        request = meetings.WatchMeetingRequest(meeting_id=interview.MEETING_ID)
        call = stub.WatchMeeting(request, metadata=OPERATOR)
        assert (await call.read()).meeting.meeting_id == interview.MEETING_ID
        assert mesh.seen.metadata["x-tenant-id"] == "acme"
        mesh.shutdown.requested.set()
        while await call.read() is not grpc.aio.EOF:
            pass
        await mesh.seen.cancelled.wait()


async def test_a_room_that_is_away_is_unavailable_and_the_request_can_be_repeated():
    async with acting() as (mesh, _, stub):
        await mesh.stop_room("report")
        away = (grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_DEPENDENCY_UNAVAILABLE")

        async def refused() -> bool:
            try:
                await act(stub, "report.rebuild", "m-1")
            except grpc.aio.AioRpcError as error:
                problem = error_of(error)
                return (problem.code, problem.reason) == away
            return False

        await eventually(refused)
        await eventually(refused)
