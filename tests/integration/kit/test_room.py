"""A room from start to stop: readiness, metrics, the operator's view, an orderly end."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from agent.ops.v1 import ops_service_pb2 as ops
from agent.ops.v1.ops_service_pb2_grpc import OpsServiceStub
from kit.lifecycle import Shutdown, StartError
from kit.ops.sources import Check, OpsSources
from kit.room import Room, open_room
from kit.rpc.client import open_channel
from kit.rpc.status import error_of
from kit.settings import RpcSettings
from kit.telemetry.metrics import open_metrics
from tests.kit_server import (
    SERVICE_KEY,
    Echo,
    EchoStub,
    Text,
    api_keys,
    echo_descriptor,
    echo_service,
    eventually,
    health_stub,
)

if TYPE_CHECKING:
    from agent.ops.v1.ops_service_pb2_grpc import OpsServiceAsyncStub


class Checks:
    """Readiness whose outcome the test sets."""

    def __init__(self, *outcome: Check) -> None:
        self.outcome: Sequence[Check] | Exception = outcome

    async def __call__(self) -> Sequence[Check]:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@dataclass
class Running:
    """A room and its client."""

    room: Room
    shutdown: Shutdown
    channel: grpc.aio.Channel
    ops: "OpsServiceAsyncStub"
    echo: EchoStub

    async def health(self) -> int:
        answer = await health_stub(self.channel).Check(health_pb2.HealthCheckRequest())
        return int(answer.status)


@asynccontextmanager
async def running_room(
    servicer: object | None = None, *, grace_seconds: float = 2.0, interval_seconds: float = 60, **options: Any
) -> AsyncIterator[Running]:
    described = echo_descriptor()
    shutdown = Shutdown()
    async with (
        open_room(
            "test",
            listen="127.0.0.1:0",
            metrics_listen="127.0.0.1:0",
            services=[echo_service(servicer or Echo(), described)],
            auth=api_keys(),
            shutdown=shutdown,
            rpc=RpcSettings(grpc_grace_seconds=grace_seconds, readiness_interval_seconds=interval_seconds),
            **options,
        ) as room,
        open_channel(room.server.address, api_key=SERVICE_KEY) as channel,
    ):
        yield Running(room, shutdown, channel, OpsServiceStub(channel), EchoStub(channel, described.full_name))


async def metrics(room: Room) -> str:
    def read() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{room.metrics_port}/metrics", timeout=5) as page:
            return str(page.read().decode())

    return await asyncio.to_thread(read)


async def test_the_end_comes_in_order_and_within_the_grace() -> None:
    order: list[str] = []

    class Polite(Echo):
        shutdown: Shutdown

        async def Chat(self, request_iterator: Any, context: Any) -> Any:
            await context.write(Text(value="hello"))
            await self.shutdown.draining.wait()
            await context.write(Text(value="drain"))
            order.append("stream told")

    servicer = Polite()
    async with running_room(servicer) as running:
        servicer.shutdown = running.shutdown
        watch = health_stub(running.channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        snapshots = aiter(running.ops.Watch(ops.WatchRequest()))
        assert (await anext(snapshots)).room.state == "serving"
        call = running.echo.Chat()
        assert (await call.read()).value == "hello"
        async with asyncio.timeout(2):
            running.shutdown.requested.set()
            await running.room.stopped()
        order.append("stopped")
        assert (await call.read()).value == "drain"
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert [snapshot.room.state async for snapshot in snapshots][-1:] == ["draining"]
    assert order == ["stream told", "stopped"]


async def test_a_room_whose_block_fails_still_closes() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with running_room() as running:
            raise RuntimeError("broken")
    assert caught.group_contains(RuntimeError, match="broken")
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection(running.room.server.host, running.room.server.port)


async def test_readiness_is_a_gauge_a_health_status_and_an_answer() -> None:
    checks = Checks(Check("database", True), Check("disk", True))
    async with running_room(readiness=checks, interval_seconds=0.1) as running:
        assert (await running.ops.GetReadiness(ops.GetReadinessRequest())).ready
        assert "agent_system_readiness 1.0" in await metrics(running.room)

        checks.outcome = [Check("database", False, "cannot be reached", critical=False)]
        answer = await running.ops.GetReadiness(ops.GetReadinessRequest())
        assert not answer.ready
        assert [(check.name, check.ok, check.message) for check in answer.checks] == [
            ("database", False, "cannot be reached")
        ]
        assert "agent_system_readiness 0.0" in await metrics(running.room)
        assert await running.health() == health_pb2.HealthCheckResponse.SERVING

        checks.outcome = [Check("disk", False, "is full")]

        async def refusing() -> bool:
            return await running.health() == health_pb2.HealthCheckResponse.NOT_SERVING

        await eventually(refusing)
        checks.outcome = ValueError("broken")
        answer = await running.ops.GetReadiness(ops.GetReadinessRequest())
        assert answer.checks[0].message == "the checks crashed with ValueError; see the log"

        checks.outcome = []

        async def serving() -> bool:
            return await running.health() == health_pb2.HealthCheckResponse.SERVING

        await eventually(serving)


async def test_a_room_that_must_be_ready_says_why_it_is_not() -> None:
    checks = Checks(Check("database", False, "cannot be reached"))
    with pytest.raises(StartError, match="not ready: database: cannot be reached"):
        async with running_room(readiness=checks, fail_fast=True):
            pass


async def test_an_operator_sees_the_room_and_what_is_wrong_with_it() -> None:
    async def sessions() -> Sequence[ops.SessionStatus]:
        return [ops.SessionStatus(meeting_id="m-1", state="LIVE")]

    async def queues() -> Sequence[ops.QueueStatus]:
        raise ConnectionError("no database")

    async def breakers() -> Sequence[ops.BreakerStatus]:
        return [ops.BreakerStatus(name="test.provider", state="open", failures=5, threshold=5)]

    sources = OpsSources(sessions=sessions, queues=queues, breakers=breakers, detail=lambda: "tiny model")
    async with running_room(sources=sources) as running:
        call = running.ops.Watch(ops.WatchRequest())
        snapshots = aiter(call)
        first, second = await anext(snapshots), await anext(snapshots)
        call.cancel()
        assert (first.room.room, first.room.state, first.room.detail) == ("test", "serving", "tiny model")
        assert first.room.pid > 0
        assert first.room.memory_mib > 0
        assert first.room.open_rpcs == 1
        assert first.room.error == "queues cannot be read (ConnectionError)"
        assert second.sessions[0].meeting_id == "m-1"
        assert second.breakers[0].state == "open"
        assert not second.queues
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.ops.ListAuditEvents(ops.ListAuditEventsRequest())
        assert error_of(caught.value).reason == "ERROR_REASON_UNIMPLEMENTED"


async def test_a_room_that_works_on_no_queue_says_so() -> None:
    async with running_room() as running:
        for call in (
            running.ops.ListJobs(ops.ListJobsRequest(queue="report")),
            running.ops.RequeueJob(ops.RequeueJobRequest(job_id="j", expected_state="dead")),
            running.ops.DropJob(ops.DropJobRequest(job_id="j", expected_state="dead")),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            problem = error_of(caught.value)
            assert (problem.code.name, problem.message) == ("NOT_FOUND", "this room works on no queue")


async def test_a_taken_metrics_port_is_said_clearly() -> None:
    async with open_metrics("127.0.0.1:0") as port:
        with pytest.raises(StartError, match=f"cannot serve metrics on 127.0.0.1:{port}: Address already in use"):
            async with open_metrics(f"127.0.0.1:{port}"):
                pass
    for wrong in ("9021", "host:", ":9021", "host:70000"):
        with pytest.raises(StartError, match="is not an address"):
            async with open_metrics(wrong):
                pass
