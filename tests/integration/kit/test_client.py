"""Calls from room to room: what they inherit from the call that caused them, and what comes back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from kit.auth.principal import current_principal
from kit.errors import NotFound, Unauthenticated
from kit.rpc.calls import held
from kit.rpc.client import open_channel
from kit.rpc.scope import current_scope
from kit.rpc.status import error_of
from kit.telemetry import trace_context
from tests.kit_server import (
    SERVICE_KEY,
    Echo,
    EchoStub,
    RunningEcho,
    Text,
    echo_descriptor,
    echo_service,
    eventually,
    running_echo,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"


@asynccontextmanager
async def two_rooms(
    front: Callable[[EchoStub], object], back: object, *, key: str | None = SERVICE_KEY
) -> AsyncIterator[RunningEcho]:
    """Run a room behind a room; `front` makes the servicer that calls the room behind."""
    async with (
        running_echo(back) as behind,
        open_channel(behind.server.address, api_key=key) as channel,
        running_echo(front(EchoStub(channel, behind.service)), key=SERVICE_KEY) as before,
    ):
        yield before


class Forwarding(Echo):
    """Passes what it is asked to the room behind."""

    def __init__(self, behind: EchoStub) -> None:
        self.behind = behind

    async def Say(self, request: Any, context: Any) -> Any:
        return await self.behind.Say(request)


async def test_a_call_inherits_deadline_tenant_trace_and_request() -> None:
    class Behind(Echo):
        async def Say(self, request: Any, context: Any) -> Any:
            position, scope = trace_context.current(), current_scope()
            assert position is not None
            assert scope is not None
            assert 0 < context.time_remaining() < 7
            return Text(value=f"{current_principal().tenant_id} {position.trace_id} {scope.request_id}")

    async with two_rooms(Forwarding, Behind()) as room:
        metadata = (("x-tenant-id", "acme"), ("x-trace-id", TRACE), ("x-request-id", "r-1"))
        answer = await room.stub.Say(Text(), timeout=7, metadata=metadata)
        assert answer.value == f"acme {TRACE} r-1"


async def test_work_that_outlives_its_call_is_not_bound_by_its_deadline() -> None:
    later: list[asyncio.Task[Any]] = []

    class Spawning(Forwarding):
        async def Say(self, request: Any, context: Any) -> Any:
            async def work() -> Any:
                await over.wait()
                return await self.behind.Say(request)

            later.append(asyncio.create_task(work(), name="later"))
            return Text()

    class Behind(Echo):
        async def Say(self, request: Any, context: Any) -> Any:
            return Text(value=str(context.time_remaining() is None or context.time_remaining() > 60))

    over = asyncio.Event()
    async with two_rooms(Spawning, Behind()) as room:
        await room.stub.Say(Text(), timeout=5)
        over.set()
        assert (await later[0]).value == "True"


async def test_what_the_room_behind_refuses_is_passed_on() -> None:
    class Behind(Echo):
        async def Say(self, request: Any, context: Any) -> Any:
            raise NotFound("no such thing", thing_id="7")

    async with two_rooms(Forwarding, Behind()) as room:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await room.stub.Say(Text())
        assert (error_of(caught.value).code, error_of(caught.value).metadata) == (
            grpc.StatusCode.NOT_FOUND,
            {"thingId": "7"},
        )


async def test_our_own_wrong_key_and_a_bug_behind_stay_inside() -> None:
    class Behind(Echo):
        async def Say(self, request: Any, context: Any) -> Any:
            raise ValueError("the secret of the house")

    for key in ("guess", SERVICE_KEY):
        with capture_logs() as lines:
            async with two_rooms(Forwarding, Behind(), key=key) as room:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await room.stub.Say(Text())
                assert error_of(caught.value).code is grpc.StatusCode.INTERNAL
                assert error_of(caught.value).message == "internal error"
        (line,) = [line for line in lines if line["event"] == "rpc_dependency_failed"]
        assert line["code"] == ("INTERNAL" if key == SERVICE_KEY else Unauthenticated.code.name)


async def test_a_room_behind_that_is_away_is_unavailable() -> None:
    async with (
        open_channel("127.0.0.1:1", api_key=None) as nowhere,
        running_echo(Forwarding(EchoStub(nowhere, "tests.Away"))) as room,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await room.stub.Say(Text(), timeout=10)
        assert error_of(caught.value).reason == "ERROR_REASON_DEPENDENCY_UNAVAILABLE"


async def test_a_held_call_ends_with_its_block() -> None:
    open_behind: set[int] = set()

    class Behind(Echo):
        async def Chat(self, request_iterator: Any, context: Any) -> Any:
            open_behind.add(id(context))
            try:
                await context.write(Text(value="hello"))
                await asyncio.sleep(60)
            finally:
                open_behind.discard(id(context))

    class Streaming(Forwarding):
        async def Say(self, request: Any, context: Any) -> Any:
            with held(self.behind.Chat()) as call:
                return await call.read()

    async with two_rooms(Streaming, Behind()) as room:
        assert (await room.stub.Say(Text())).value == "hello"
        await eventually(lambda: not open_behind)


async def test_streams_are_plain_grpc_calls() -> None:
    async with running_echo() as echo:
        call = echo.stub.Chat()
        assert isinstance(call, grpc.aio.StreamStreamCall)
        await call.write(Text(value="a"))
        assert await call.read() == Text(value="a")
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


async def test_replicas_in_a_list_are_called_in_turn_and_a_dead_one_is_passed_over() -> None:
    class Named(Echo):
        def __init__(self, name: str) -> None:
            self.name = name

        async def Say(self, request: Any, context: Any) -> Any:
            return Text(value=self.name)

    described = echo_descriptor()
    async with AsyncExitStack() as stack, running_echo(more=[echo_service(Named("one"), described)]) as one:
        other = await stack.enter_async_context(running_echo(more=[echo_service(Named("other"), described)]))
        target = f"{one.server.address}, {other.server.address}"
        async with open_channel(target, api_key=SERVICE_KEY) as channel:
            stub = EchoStub(channel, described.full_name)
            names: set[str] = set()

            async def both() -> bool:
                names.add((await stub.Say(Text(), wait_for_ready=True)).value)
                return names == {"one", "other"}

            await eventually(both)
            await stack.aclose()
            answers = [(await stub.Say(Text(), wait_for_ready=True)).value for _ in range(20)]
            assert answers == ["one"] * 20
