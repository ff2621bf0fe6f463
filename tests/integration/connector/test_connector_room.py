"""The connector room as others call it: gRPC, keys, PostgreSQL, one call from Join to Leave."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from pydantic import SecretStr

from agent.connector.v1 import connector_service_pb2 as pb
from agent.connector.v1.connector_service_pb2_grpc import ConnectorServiceStub
from examples.callers import open_caller, speech_from_samples
from kit.auth.authenticator import ApiKeys
from kit.auth.keys import KeyRing
from kit.lifecycle import Shutdown
from kit.rpc.client import open_channel
from kit.rpc.status import error_of
from kit.settings import TargetSettings
from services.connector.app import open_connector
from services.connector.settings import ConnectorSettings, MeetingConnectorSettings
from tests.fakes.ingest_server import Ingest, serving_ingest
from tests.fakes.room_server import RoomServer, running_rooms
from tests.integration.connector.harness import place_of, speech_like, track_of
from tests.postgres import fresh_url

pytestmark = pytest.mark.realtime

if TYPE_CHECKING:
    from agent.connector.v1.connector_service_pb2_grpc import ConnectorServiceAsyncStub

KEY = "service-key-of-the-tests"


@dataclass
class Room:
    """What a test talks to."""

    stub: "ConnectorServiceAsyncStub"
    rooms: RoomServer
    ingest: Ingest
    shutdown: Shutdown


@asynccontextmanager
async def running_connector_room(key: str = KEY) -> AsyncIterator[Room]:
    """Run the whole room on a real database for the block."""
    ingest, shutdown = Ingest(), Shutdown()
    with fresh_url() as database_url:
        async with running_rooms(recorder_token=KEY) as rooms, serving_ingest(ingest) as port:
            opening = open_connector(
                ConnectorSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0", empty_room_seconds=1.0),
                MeetingConnectorSettings(),
                TargetSettings(ingest_target=f"127.0.0.1:{port}", gateway_url=rooms.url),
                database_url=database_url,
                api_key=KEY,
                auth=ApiKeys(KeyRing([SecretStr("user-key")], [SecretStr(KEY)])),
                shutdown=shutdown,
            )
            async with opening as room, open_channel(room.server.address, api_key=key) as channel:
                yield Room(ConnectorServiceStub(channel), rooms, ingest, shutdown)


async def test_a_call_from_join_to_leave() -> None:
    said = speech_like(3.0, 1)
    async with running_connector_room() as room:
        url = room.rooms.signal_url("m-1")
        async with open_caller("Alice", speech_from_samples(said), url=url, room="m-1") as alice:
            joined = await room.stub.Join(
                pb.JoinRequest(meeting_id="m-1", language="en"), metadata=(("x-tenant-id", "acme"),)
            )
            assert joined.session.provider == "room"
            assert joined.session.join_time.seconds > 0
            await alice.ready.wait()
            await alice.speak()
            tenant = (("x-tenant-id", "acme"),)
            status = await room.stub.GetStatus(pb.GetStatusRequest(meeting_id="m-1"), metadata=tenant)
            assert status.session.state == pb.SESSION_STATE_LIVE
            assert [each.display_name for each in status.session.participants] == ["Alice"]
            left = await room.stub.Leave(pb.LeaveRequest(meeting_id="m-1", reason="done"), metadata=tenant)
            assert (left.session.state, left.session.reason) == (pb.SESSION_STATE_ENDED, "done")
            listed = await room.stub.ListSessions(pb.ListSessionsRequest(), metadata=tenant)
            assert [each.session_id for each in listed.sessions] == [joined.session.session_id]
            assert not (await room.stub.ListSessions(pb.ListSessionsRequest())).sessions
        assert room.ingest.session.tenant_id == "acme"
        assert place_of(said, track_of(room.ingest, "Alice").samples)[1] > 0.95


async def test_sessions_are_paged() -> None:
    async with running_connector_room() as room:
        for number in range(3):
            await room.stub.Join(pb.JoinRequest(meeting_id=f"m-{number}"))
            await room.stub.Leave(pb.LeaveRequest(meeting_id=f"m-{number}"))
        first = await room.stub.ListSessions(pb.ListSessionsRequest(page_size=2))
        rest = await room.stub.ListSessions(pb.ListSessionsRequest(page_size=2, page_token=first.next_page_token))
        assert [each.meeting_id for each in [*first.sessions, *rest.sessions]] == ["m-2", "m-1", "m-0"]
        assert rest.next_page_token == ""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await room.stub.ListSessions(pb.ListSessionsRequest(page_token="rubbish"))
        assert error_of(caught.value).reason == "ERROR_REASON_INVALID_PAGE_TOKEN"


async def test_operators_see_providers_breakers_and_that_there_is_nothing_to_do() -> None:
    async with running_connector_room() as room:
        providers = {one.name: one for one in (await room.stub.ListProviders(pb.ListProvidersRequest())).providers}
        assert providers["room"].available
        assert providers["room"].default
        assert (providers["sberjazz"].available, providers["sberjazz"].pull) == (False, True)
        assert "SBERJAZZ_API_BASE" in providers["sberjazz"].hint
        assert (await room.stub.Probe(pb.ProbeRequest(provider="room"))).ok
        breaker = (await room.stub.GetCircuitBreaker(pb.GetCircuitBreakerRequest(provider="room"))).breaker
        assert (breaker.state, breaker.failures, breaker.threshold) == ("closed", 0, 5)
        reset = await room.stub.ResetCircuitBreaker(pb.ResetCircuitBreakerRequest(provider="room"))
        assert reset.breaker.state == "closed"
        assert (await room.stub.Reconcile(pb.ReconcileRequest())).scanned == 0
        assert (await room.stub.LivePull(pb.LivePullRequest())).scanned == 0
        assert not (await room.stub.ListDecisions(pb.ListDecisionsRequest())).decisions


async def test_errors_name_their_reasons() -> None:
    async with running_connector_room() as room:
        wrong: list[tuple[Any, str]] = [
            (room.stub.GetStatus(pb.GetStatusRequest(meeting_id="x")), "ERROR_REASON_SESSION_NOT_FOUND"),
            (room.stub.Leave(pb.LeaveRequest(meeting_id="x")), "ERROR_REASON_SESSION_NOT_FOUND"),
            (room.stub.Join(pb.JoinRequest(meeting_id="x", provider="zoomy")), "ERROR_REASON_PROVIDER_UNKNOWN"),
            (room.stub.Join(pb.JoinRequest(meeting_id="x", provider="sberjazz")), "ERROR_REASON_PROVIDER_DISABLED"),
            (room.stub.Join(pb.JoinRequest()), "ERROR_REASON_INVALID_FIELD"),
            (room.stub.Reconnect(pb.ReconnectRequest(meeting_id="x")), "ERROR_REASON_SESSION_NOT_FOUND"),
            (room.stub.Probe(pb.ProbeRequest(provider="zoomy")), "ERROR_REASON_PROVIDER_UNKNOWN"),
            (room.stub.Reconcile(pb.ReconcileRequest(limit=-1)), "ERROR_REASON_INVALID_FIELD"),
            (room.stub.ListDecisions(pb.ListDecisionsRequest(page_token="?")), "ERROR_REASON_INVALID_PAGE_TOKEN"),
        ]
        for call, reason in wrong:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert error_of(caught.value).reason == reason


async def test_a_users_key_does_not_send_recorders_into_calls() -> None:
    async with running_connector_room(key="user-key") as room:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await room.stub.Join(pb.JoinRequest(meeting_id="m-1"))
        assert error_of(caught.value).reason == "ERROR_REASON_PERMISSION_DENIED"
