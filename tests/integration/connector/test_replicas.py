"""Two connectors on one PostgreSQL: what one holds the other can end, and what one loses the other goes on with."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
from pydantic import SecretStr
from sqlalchemy import update

from agent.connector.v1 import connector_service_pb2 as pb
from agent.connector.v1.connector_service_pb2_grpc import ConnectorServiceStub
from kit.auth.authenticator import ApiKeys
from kit.auth.keys import KeyRing
from kit.clock import now
from kit.db.engine import Database, open_database
from kit.lifecycle import Shutdown
from kit.rpc.client import open_channel
from kit.rpc.status import error_of
from kit.settings import TargetSettings
from services.connector.app import open_connector
from services.connector.settings import (
    ConnectorSettings,
    MeetingConnectorSettings,
    ReconciliationSettings,
    SessionLifeSettings,
)
from store.models.connector_operations import connector_operations
from store.models.connector_sessions import connector_sessions
from tests.fakes.ingest_server import Ingest, serving_ingest
from tests.fakes.room_server import RoomServer, running_rooms
from tests.kit_server import eventually
from tests.postgres import fresh_url, whole

if TYPE_CHECKING:
    from agent.connector.v1.connector_service_pb2_grpc import ConnectorServiceAsyncStub

KEY = "service-key-of-the-tests"
SECONDS = 30.0


@dataclass
class Replicas:
    """Connectors that stand on the same things, and those things."""

    url: str
    rooms: RoomServer
    ingest: Ingest
    ingest_port: int
    database: Database
    stubs: "list[ConnectorServiceAsyncStub]" = field(default_factory=list)

    @asynccontextmanager
    async def replica(self, *, reconciling: bool) -> AsyncIterator["ConnectorServiceAsyncStub"]:
        """Run one more for the block."""
        opening = open_connector(
            ConnectorSettings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0"),
            MeetingConnectorSettings(),
            TargetSettings(ingest_target=f"127.0.0.1:{self.ingest_port}", gateway_url=self.rooms.url),
            database_url=self.url,
            api_key=KEY,
            auth=ApiKeys(KeyRing([], [SecretStr(KEY)])),
            shutdown=Shutdown(),
            life=SessionLifeSettings(),
            reconciling=ReconciliationSettings(enabled=reconciling, interval_sec=0.2),
        )
        async with opening as room, open_channel(room.server.address, api_key=KEY) as channel:
            yield ConnectorServiceStub(channel)

    async def expire(self) -> None:
        """Let every lease run out, as that of a connector does which is dead or frozen."""
        async with whole(self.database).begin() as connection:
            await connection.execute(update(connector_sessions).values(lease_until=now() - timedelta(seconds=1)))

    @property
    def recorders(self) -> int:
        """How many are in the rooms."""
        return sum(member.role == "recorder" for room in self.rooms.rooms.values() for member in room.values())


@asynccontextmanager
async def standing() -> AsyncIterator[Replicas]:
    """Start what connectors stand on."""
    ingest = Ingest()
    async with AsyncExitStack() as stack:
        url = stack.enter_context(fresh_url())
        rooms = await stack.enter_async_context(running_rooms(recorder_token=KEY))
        port = await stack.enter_async_context(serving_ingest(ingest))
        database = await stack.enter_async_context(open_database(url, room="tests"))
        yield Replicas(url, rooms, ingest, port, database)


async def live(stub: "ConnectorServiceAsyncStub", meeting_id: str = "m-1") -> pb.Session:
    """Wait until the recorder is live, and return its session."""
    found: list[pb.Session] = []

    async def there() -> bool:
        found[:] = [(await stub.GetStatus(pb.GetStatusRequest(meeting_id=meeting_id))).session]
        return found[0].state == pb.SESSION_STATE_LIVE

    await eventually(there, SECONDS)
    return found[0]


def steps(session: pb.Session) -> Sequence[tuple[str, str]]:
    """Return what a session went through, oldest first."""
    return [
        (pb.SessionState.Name(each.after).removeprefix("SESSION_STATE_"), each.reason)
        for each in reversed(session.transitions)
    ]


async def test_a_stopped_connector_hands_its_sessions_over() -> None:
    async with standing() as mesh:
        async with mesh.replica(reconciling=False) as first:
            await first.Join(pb.JoinRequest(meeting_id="m-1"))
            before = await live(first)
        assert before.epoch == 1
        assert mesh.recorders == 0
        assert mesh.ingest.session.end is None, "another one goes on"
        async with mesh.replica(reconciling=True) as second:
            after = await live(second)
            assert (after.session_id, after.epoch, after.attempts) == (before.session_id, 2, 2)
            assert [state for state, _ in steps(after)] == ["JOINING", "LIVE", "RECONNECTING", "RECONNECTING", "LIVE"]
            assert steps(after)[2] == ("RECONNECTING", "the connector is stopping")
            audio = mesh.ingest.sessions
            await eventually(lambda: len(audio) == 2, SECONDS)
            assert list(audio) == [before.session_id, f"{before.session_id}.2"]
            assert len({session.start_time_ms for session in audio.values()}) == 1, "one timeline"
            asking = pb.ListDecisionsRequest(meeting_id="m-1")

            async def decided() -> bool:
                return bool((await second.ListDecisions(asking)).decisions)

            await eventually(decided, SECONDS)
            (decision,) = (await second.ListDecisions(asking)).decisions
            assert (decision.action, decision.desired) == ("rejoin", "in_call")
            assert (decision.reason, decision.source) == ("back in the call", "worker")
            left = await second.Leave(pb.LeaveRequest(meeting_id="m-1", reason="done"))
            assert left.session.state == pb.SESSION_STATE_ENDED


async def test_a_connector_that_was_frozen_finds_its_session_taken_and_gets_out_of_the_call() -> None:
    async with standing() as mesh, mesh.replica(reconciling=False) as frozen, mesh.replica(reconciling=False) as heir:
        await frozen.Join(pb.JoinRequest(meeting_id="m-1"))
        await live(frozen)
        await mesh.expire()
        done = await heir.Reconcile(pb.ReconcileRequest())
        assert (done.scanned, done.rejoined, done.failed) == (1, 1, 0)
        assert [(one.action, one.source) for one in done.decisions] == [("rejoin", "operator")]
        await eventually(lambda: mesh.recorders == 1, SECONDS)
        assert (await live(heir)).epoch == 2
        assert (await live(frozen)).epoch == 2, "it tells what the other one does"
        assert mesh.recorders == 1


async def test_leave_and_reconnect_reach_the_replica_that_holds_the_session() -> None:
    async with standing() as mesh, mesh.replica(reconciling=True) as owner, mesh.replica(reconciling=True) as other:
        await owner.Join(pb.JoinRequest(meeting_id="m-1"))
        before = await live(owner)
        again = (await other.Join(pb.JoinRequest(meeting_id="m-1"))).session
        assert again.session_id == before.session_id
        back = (await other.Reconnect(pb.ReconnectRequest(meeting_id="m-1", reason="echo"))).session
        assert (back.state, back.epoch, back.attempts) == (pb.SESSION_STATE_LIVE, 1, 2)
        assert ("RECONNECTING", "echo") in steps(back)
        left = (await other.Leave(pb.LeaveRequest(meeting_id="m-1", reason="enough"))).session
        assert (left.state, left.reason) == (pb.SESSION_STATE_ENDED, "enough")
        assert len(mesh.ingest.sessions) == 1, "one timeline, one audio session"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await other.Reconnect(pb.ReconnectRequest(meeting_id="m-1"))
        assert error_of(caught.value).reason == "ERROR_REASON_STATE_CHANGED"


async def test_a_stale_session_can_be_joined_again_or_ended_by_hand() -> None:
    async with standing() as mesh:
        for meeting_id in ("m-1", "m-2"):
            async with mesh.replica(reconciling=False) as first:
                await first.Join(pb.JoinRequest(meeting_id=meeting_id))
                await live(first, meeting_id)
        async with mesh.replica(reconciling=False) as second:
            joined = (await second.Join(pb.JoinRequest(meeting_id="m-1"))).session
            assert joined.epoch == 2
            left = (await second.Leave(pb.LeaveRequest(meeting_id="m-2", reason="late"))).session
            assert (left.state, left.reason, left.epoch) == (pb.SESSION_STATE_ENDED, "late", 2)
            assert mesh.recorders == 1


async def test_an_operation_under_way_elsewhere_refuses_another() -> None:
    async with standing() as mesh, mesh.replica(reconciling=False) as stub:
        async with whole(mesh.database).begin() as connection:
            await connection.execute(
                connector_operations.insert().values(
                    meeting_id="m-1", operation="leave", holder="x", until_time=now() + timedelta(seconds=60)
                )
            )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Join(pb.JoinRequest(meeting_id="m-1"))
        problem = error_of(caught.value)
        assert (problem.code, problem.reason) == (
            grpc.StatusCode.ABORTED,
            "ERROR_REASON_OPERATION_IN_PROGRESS",
        )
        assert problem.metadata == {"meetingId": "m-1", "operation": "leave"}
        assert not mesh.ingest.sessions


async def test_a_session_that_nobody_took_up_for_long_is_given_up() -> None:
    async with standing() as mesh:
        async with mesh.replica(reconciling=False) as first:
            await first.Join(pb.JoinRequest(meeting_id="m-1"))
            await live(first)
        async with whole(mesh.database).begin() as connection:
            await connection.execute(update(connector_sessions).values(last_seen_time=now() - timedelta(hours=1)))
        async with mesh.replica(reconciling=False) as second:
            done = await second.Reconcile(pb.ReconcileRequest())
            assert [(one.action, one.desired) for one in done.decisions] == [("fail", "out_of_call")]
            session = (await second.GetStatus(pb.GetStatusRequest(meeting_id="m-1"))).session
            assert session.state == pb.SESSION_STATE_FAILED
            assert mesh.recorders == 0
