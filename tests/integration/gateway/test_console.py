"""The console's stream on the real gateway: every room joined, a dead one a row, deltas that add up."""

from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from agent.console.v1 import console_service_pb2 as pb
from agent.console.v1.console_service_pb2_grpc import ConsoleServiceStub
from agent.ops.v1 import ops_service_pb2 as ops
from kit.lifecycle import Shutdown
from kit.ops.sources import OpsSources
from kit.room import open_room
from kit.rpc.calls import held
from kit.rpc.status import error_of
from kit.settings import RpcSettings
from kit.telemetry.log_tail import LogTail
from tests.integration.gateway.scripted import SERVICE_KEY, USER_KEY, Mesh, api_keys, channel_to, running_mesh

KEY = (("x-api-key", SERVICE_KEY),)


class Console:
    """Applies frames as agent-console does."""

    def __init__(self, mesh_channel: grpc.aio.Channel, **request: Any) -> None:
        stub: Any = ConsoleServiceStub(mesh_channel)
        self.call = stub.WatchConsole(pb.WatchConsoleRequest(**request), metadata=KEY)
        self.rows: dict[str, Any] = {}
        self.epochs: set[str] = set()
        self.sequence = 0
        self.heartbeats = 0

    async def step(self) -> str:
        frame = await self.call.read()
        self.epochs.add(frame.epoch)
        assert frame.sequence == self.sequence + 1
        self.sequence = frame.sequence
        kind: str = frame.WhichOneof("frame")
        if kind == "heartbeat":
            self.heartbeats += 1
            return kind
        page = getattr(frame, kind)
        for row in page.rooms:
            self.rows[f"rooms/{row.room}"] = row
        for row in page.sessions:
            self.rows[f"sessions/{row.meeting_id}"] = row
        for key in page.gone:
            del self.rows[key]
        return kind

    async def until(self, true: Any) -> None:
        for _ in range(100):
            if true(self.rows):
                return
            await self.step()
        pytest.fail(f"did not come to pass: {self.rows}")


def state_of(room: str, state: str) -> Any:
    return lambda rows: f"rooms/{room}" in rows and rows[f"rooms/{room}"].state == state


async def serving(console: Console) -> None:
    for room in ("ingest", "stt", "connector", "report", "gateway"):
        await console.until(state_of(room, "serving"))


async def test_a_snapshot_then_deltas_of_every_room():
    async with running_mesh() as mesh, channel_to(mesh) as channel:
        console = Console(channel, max_hz=10)
        assert await console.step() == "snapshot"
        await serving(console)
        mesh.sessions.append(ops.SessionStatus(meeting_id="m-1", title="Interview", state="LIVE", tracks=2))
        await console.until(lambda rows: "sessions/m-1" in rows)
        mesh.sessions.clear()
        await console.until(lambda rows: "sessions/m-1" not in rows)
        assert len(console.epochs) == 1


async def test_a_dead_room_is_a_row_and_comes_back_as_one():
    async with running_mesh() as mesh, channel_to(mesh) as channel:
        mesh.sessions.append(ops.SessionStatus(meeting_id="m-1", state="LIVE", level=9))
        console = Console(channel, max_hz=10)
        await serving(console)
        await console.until(lambda rows: "sessions/m-1" in rows)
        await mesh.stop_room("connector")
        await console.until(state_of("connector", "away"))
        assert console.rows["rooms/connector"].error
        await console.until(lambda rows: rows["sessions/m-1"].note == "connector is away")
        assert console.rows["sessions/m-1"].state == "STALLED"
        assert console.rows["rooms/ingest"].state == "serving"


async def test_topics_and_heartbeats():
    async with running_mesh() as mesh, channel_to(mesh) as channel:
        console = Console(channel, topics=["breakers"], max_hz=10)
        assert await console.step() == "snapshot"
        assert await console.step() == "heartbeat"
        assert not console.rows


async def refusal(mesh: Mesh, key: str, **request: Any) -> tuple[grpc.StatusCode, str]:
    async with channel_to(mesh) as channel:
        stub: Any = ConsoleServiceStub(channel)
        call = stub.WatchConsole(pb.WatchConsoleRequest(**request), metadata=(("x-api-key", key),))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        problem = error_of(caught.value)
        return problem.code, problem.reason


async def test_the_console_is_for_services_and_checks_what_it_is_asked():
    async with running_mesh() as mesh:
        assert (await refusal(mesh, USER_KEY))[0] is grpc.StatusCode.PERMISSION_DENIED
        wrong = (grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_INVALID_FIELD")
        assert await refusal(mesh, SERVICE_KEY, topics=["weather"]) == wrong
        assert await refusal(mesh, SERVICE_KEY, max_hz=60) == wrong


async def test_the_stream_ends_when_the_gateway_stops():
    async with running_mesh() as mesh, channel_to(mesh) as channel:
        console = Console(channel, max_hz=10)
        await console.step()
        mesh.shutdown.requested.set()
        while await console.call.read() is not grpc.aio.EOF:
            pass


async def test_every_replica_of_a_room_is_watched_and_heard():
    stops = [Shutdown(), Shutdown()]
    async with AsyncExitStack() as stack:
        addresses = []
        for number, stop in enumerate(stops):

            async def told(number: int = number) -> list[ops.SessionStatus]:
                return [ops.SessionStatus(meeting_id=f"m-{number}", state="LIVE")]

            tail = LogTail()
            tail(None, "info", {"event": f"said_by_{number}", "level": "info"})
            replica = await stack.enter_async_context(
                open_room(
                    "ingest",
                    listen="127.0.0.1:0",
                    metrics_listen=None,
                    services=[],
                    auth=api_keys(),
                    shutdown=stop,
                    sources=OpsSources(sessions=told, logs=tail),
                    rpc=RpcSettings(grpc_grace_seconds=0.2),
                )
            )
            addresses.append(replica.server.address)
        mesh = await stack.enter_async_context(running_mesh(elsewhere={"ingest": ",".join(addresses)}))
        channel = await stack.enter_async_context(channel_to(mesh))
        first, second = (f"rooms/ingest@{address}" for address in addresses)
        console = Console(channel)
        await console.until(
            lambda rows: all(name in rows and rows[name].state == "serving" for name in (first, second))
        )
        assert "rooms/ingest" not in console.rows
        assert {"sessions/m-0", "sessions/m-1"} <= console.rows.keys()
        stub: Any = ConsoleServiceStub(channel)
        lines: set[str] = set()
        with held(stub.TailLogs(pb.TailLogsRequest(rooms=["ingest"]), metadata=KEY)) as call:
            while not {"said_by_0", "said_by_1"} <= lines:
                lines |= {line.message for line in (await call.read()).lines}
        stops[1].requested.set()
        await console.until(lambda rows: rows[second].state == "away")
        assert console.rows[first].state == "serving"
        assert console.rows["sessions/m-0"].state == "LIVE"
        assert console.rows["sessions/m-1"].state == "STALLED"
