"""The server of a room: who gets in, what goes out, for handlers of every style."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from agent.common.v1 import access_pb2
from kit.auth.authenticator import Everybody
from kit.auth.policy import PolicyError
from kit.auth.principal import current_principal
from kit.errors import FailedPrecondition, NotFound, ResourceExhausted
from kit.lifecycle import StartError
from kit.rpc.client import open_channel
from kit.rpc.status import RpcProblem, abort, error_of
from kit.telemetry import trace_context
from tests.kit_server import (
    SERVICE_KEY,
    USER_KEY,
    Echo,
    EchoStub,
    Text,
    access,
    api_keys,
    echo_descriptor,
    echo_service,
    eventually,
    health_stub,
    reflection_stub,
    running_echo,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Generators(Echo):
    """The streaming RPCs as async generators."""

    async def Count(self, request: Any, context: Any) -> Any:
        for number in range(int(request.value)):
            yield Text(value=str(number))

    async def Chat(self, request_iterator: Any, context: Any) -> Any:
        async for request in request_iterator:
            yield Text(value=request.value)


class Readers(Echo):
    """The streaming RPCs with `context.read()` and `context.write()`."""

    async def Collect(self, request_iterator: Any, context: Any) -> Any:
        words = []
        while (request := await context.read()) is not grpc.aio.EOF:
            words.append(request.value)
        return Text(value=" ".join(words))

    async def Chat(self, request_iterator: Any, context: Any) -> Any:
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(Text(value=request.value))


async def texts(*values: str) -> AsyncIterator[Any]:
    for value in values:
        yield Text(value=value)


async def every_rpc(stub: EchoStub, **call: Any) -> list[Any]:
    """Call the four RPCs and return their answers, or the errors in their place."""

    async def stream(responses: Any) -> list[str]:
        return [response.value async for response in responses]

    calls = [
        stub.Say(Text(value="a"), **call),
        stream(stub.Count(Text(value="2"), **call)),
        stub.Collect(texts("a", "b"), **call),
        stream(stub.Chat(texts("a", "b"), **call)),
    ]

    async def answer(of: Any) -> Any:
        return await of

    return await asyncio.gather(*(answer(call) for call in calls), return_exceptions=True)


@pytest.mark.parametrize("style", [Echo, Generators, Readers])
async def test_handlers_of_every_style_are_served_and_counted(style: type[Echo]) -> None:
    async with running_echo(style()) as echo:
        assert await every_rpc(echo.stub) == [Text(value="a"), ["0", "1"], Text(value="a b"), ["a", "b"]]
        await eventually(lambda: echo.server.open_rpcs == 0)

        def counted(name: str, method: str, **labels: str) -> float | None:
            return REGISTRY.get_sample_value(
                name, {"room": "test", "service": echo.service, "method": method, **labels}
            )

        for method in ("Say", "Count", "Collect", "Chat"):
            assert counted("agent_rpc_started_total", method) == 1
            assert counted("agent_rpc_handled_total", method, code="OK") == 1
            assert counted("agent_rpc_seconds_count", method) == 1
        assert counted("agent_rpc_stream_messages_total", "Count", direction="sent") == 2
        assert counted("agent_rpc_stream_messages_total", "Collect", direction="received") == 2
        assert counted("agent_rpc_stream_messages_total", "Chat", direction="received") == 2
        assert counted("agent_rpc_stream_messages_total", "Chat", direction="sent") == 2


@pytest.mark.parametrize("style", [Echo, Generators, Readers])
@pytest.mark.parametrize("key", [None, "guess"])
async def test_nobody_gets_in_without_a_known_key(style: type[Echo], key: str | None) -> None:
    async with running_echo(style(), key=key) as echo:
        with capture_logs() as lines:
            errors = await every_rpc(echo.stub)
    assert {error_of(error).reason for error in errors} == {"ERROR_REASON_UNAUTHENTICATED"}
    denied = [line for line in lines if line["event"] == "security_audit_deny"]
    assert len(denied) == 4
    assert denied[0]["endpoint"].startswith(f"/{echo.service}/")
    assert (denied[0]["method"], denied[0]["subject"]) == ("GRPC", "unknown")
    assert denied[0]["auth_type"] == ("none" if key is None else "api_key")
    assert "guess" not in str(lines)


async def test_callers_of_the_wrong_kind_are_told_what_it_needs() -> None:
    async with running_echo(rule=access(access_pb2.CALLER_SERVICE, scope="agent.admin.read")) as echo:
        with capture_logs() as lines:
            (error, *_) = await every_rpc(echo.stub)
        assert error_of(error) == RpcProblem(
            grpc.StatusCode.PERMISSION_DENIED,
            "ERROR_REASON_PERMISSION_DENIED",
            "this kind of caller may not call this",
            {"needs": "service"},
        )
        (denied, *_) = [line for line in lines if line["event"] == "security_audit_deny"]
        assert (denied["auth_type"], denied["log_level"]) == ("api_key", "warning")
        async with open_channel(echo.server.address, api_key=SERVICE_KEY) as channel:
            with capture_logs() as lines:
                assert await EchoStub(channel, echo.service).Say(Text(value="a")) == Text(value="a")
        (allowed,) = [line for line in lines if line["event"] == "security_audit_allow"]
        assert (allowed["log_level"], allowed["endpoint"]) == ("debug", f"/{echo.service}/Say")


async def test_public_rpcs_and_servers_without_access_control_let_strangers_in() -> None:
    public = access(access_pb2.CALLER_PUBLIC, tenant=access_pb2.TENANT_RULE_NONE)
    async with running_echo(rule=public, key=None) as echo:
        assert await echo.stub.Say(Text(value="a")) == Text(value="a")
    async with running_echo(rule=access(access_pb2.CALLER_SERVICE), key=None, auth=Everybody()) as echo:
        assert await echo.stub.Say(Text(value="a")) == Text(value="a")


async def test_principals_of_concurrent_calls_never_mix() -> None:
    class Who(Echo):
        async def Say(self, request: Any, context: Any) -> Any:
            before = current_principal()
            await asyncio.sleep(0.001)
            async with asyncio.TaskGroup() as tasks:
                inner = tasks.create_task(self._who())
            assert before == current_principal() == inner.result()
            return Text(value=f"{before.kind} {before.tenant_id}")

        async def _who(self) -> Any:
            return current_principal()

    async with running_echo(Who()) as echo, open_channel(echo.server.address, api_key=SERVICE_KEY) as channel:
        service = EchoStub(channel, echo.service)
        calls = [
            echo.stub.Say(Text())
            if number % 2
            else service.Say(Text(), metadata=(("x-tenant-id", f"tenant-{number}"),))
            for number in range(100)
        ]
        answers = [(await call).value for call in calls]
    assert answers == ["user default" if number % 2 else f"service tenant-{number}" for number in range(100)]


@pytest.mark.parametrize("generator", [False, True])
async def test_errors_carry_their_reason_and_bugs_carry_nothing(generator: bool) -> None:
    class Failing(Echo):
        async def Say(self, request: Any, context: Any) -> Any:
            raise NotFound("no such thing", thing_id="7")

        async def Count(self, request: Any, context: Any) -> Any:
            raise ValueError("the secret of the house")

        async def Collect(self, request_iterator: Any, context: Any) -> Any:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._refuse())
                tasks.create_task(asyncio.sleep(60))

        async def _refuse(self) -> None:
            raise ResourceExhausted("full", retry_after_seconds=2)

        async def Chat(self, request_iterator: Any, context: Any) -> Any:
            await abort(context, FailedPrecondition("not now"))

    class FailingGenerators(Failing):
        async def Count(self, request: Any, context: Any) -> Any:
            yield Text(value="0")
            raise ValueError("the secret of the house")

        async def Chat(self, request_iterator: Any, context: Any) -> Any:
            yield Text(value="0")
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now")

    async with running_echo(FailingGenerators() if generator else Failing()) as echo:
        with capture_logs() as lines:
            say, count, collect, chat = [error_of(error) for error in await every_rpc(echo.stub)]
            await eventually(lambda: echo.server.open_rpcs == 0)
    assert (say.message, say.metadata) == ("no such thing", {"thingId": "7"})
    assert (count.code, count.message, count.reason) == (grpc.StatusCode.INTERNAL, "internal error", "")
    assert (collect.code, collect.retry_after_seconds) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 2)
    assert (chat.code, chat.message) == (grpc.StatusCode.FAILED_PRECONDITION, "not now")
    (bug,) = [line for line in lines if line["event"] == "rpc_failed"]
    assert isinstance(bug["exc_info"], ValueError)
    codes = {line["rpc"].rpartition("/")[2]: line["code"] for line in lines if line["event"] == "rpc_handled"}
    assert codes == {
        "Say": "NOT_FOUND",
        "Count": "INTERNAL",
        "Collect": "RESOURCE_EXHAUSTED",
        "Chat": "FAILED_PRECONDITION",
    }


async def test_ids_come_in_and_go_out_with_every_outcome() -> None:
    class Tracing(Echo):
        async def Say(self, request: Any, context: Any) -> Any:
            context.set_trailing_metadata((("x-mine", "1"),))
            position = trace_context.current()
            assert position is not None
            return Text(value=position.trace_id)

        async def Collect(self, request_iterator: Any, context: Any) -> Any:
            raise NotFound

    given = (("x-trace-id", TRACE), ("x-request-id", "r-1"))
    async with running_echo(Tracing()) as echo:
        call = echo.stub.Say(Text(), metadata=given)
        assert (await call).value == TRACE
        assert dict(await call.trailing_metadata()) == {"x-trace-id": TRACE, "x-request-id": "r-1", "x-mine": "1"}
        failed = echo.stub.Collect(texts("a"), metadata=given)
        with pytest.raises(grpc.aio.AioRpcError):
            await failed
        trailing = dict(await failed.trailing_metadata())
        assert (trailing["x-trace-id"], trailing["x-request-id"]) == (TRACE, "r-1")
        fresh = dict(await echo.stub.Chat(texts()).trailing_metadata())
        assert len(fresh["x-trace-id"]) == 32
        assert fresh["x-request-id"]


async def test_a_method_that_is_not_there_yet_says_so() -> None:
    from agent.ops.v1 import ops_service_pb2 as ops
    from agent.ops.v1.ops_service_pb2_grpc import OpsServiceServicer, OpsServiceStub, add_OpsServiceServicer_to_server
    from kit.rpc.server import RpcService

    service = RpcService(
        ops.DESCRIPTOR.services_by_name["OpsService"],
        OpsServiceServicer(),  # type: ignore[abstract]
        add_OpsServiceServicer_to_server,
    )
    async with running_echo(key=SERVICE_KEY, more=[service]) as echo:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await OpsServiceStub(echo.channel).ListJobs(ops.ListJobsRequest())
        problem = error_of(caught.value)
        assert problem.code is grpc.StatusCode.UNIMPLEMENTED
        assert (problem.reason, problem.metadata) == ("ERROR_REASON_UNIMPLEMENTED", {"rpc": "ListJobs"})


async def test_a_server_whose_contract_or_handlers_are_incomplete_does_not_start() -> None:
    with pytest.raises(PolicyError, match="has no"):
        async with running_echo(rule=None):
            pass

    class Blocking(Echo):
        def Say(self, request: Any, context: Any) -> Any:
            return Text()

    with pytest.raises(TypeError, match=r"Echo\.Say .*async def"):
        async with running_echo(Blocking()):
            pass


async def test_a_taken_port_and_a_wrong_address_are_said_clearly() -> None:
    from kit.rpc.server import open_server

    async with running_echo() as echo:
        for listen in (echo.server.address, "192.0.2.1:1", "nonsense"):
            with pytest.raises(StartError, match=r"is not an address|cannot listen on"):
                async with open_server(listen, services=[echo_service(Echo())], auth=api_keys(), room="test"):
                    pass


async def test_requests_have_a_largest_size() -> None:
    async with running_echo() as echo:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await echo.stub.Say(Text(value="x" * 2_000_000))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    async with running_echo(max_receive_bytes=16 * 1024 * 1024) as echo:
        assert len((await echo.stub.Say(Text(value="x" * 2_000_000))).value) == 2_000_000


async def test_health_is_open_to_all_and_knows_the_services() -> None:
    async with running_echo(key=None) as echo:
        health = health_stub(echo.channel)
        for name in ("", echo.service):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health.Check(health_pb2.HealthCheckRequest(service="unknown"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await echo.server.health.set_serving(False)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()


async def test_the_contract_is_shown_to_callers_that_are_known() -> None:
    async def listed(channel: grpc.aio.Channel) -> list[str]:
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        call = reflection_stub(channel).ServerReflectionInfo(iter([request]))
        return [service.name async for answer in call for service in answer.list_services_response.service]

    async with running_echo() as echo, open_channel(echo.server.address, api_key=None) as stranger:
        assert echo.service in await listed(echo.channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await listed(stranger)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_streams_are_told_before_the_server_stops() -> None:
    draining = asyncio.Event()

    class Polite(Echo):
        async def Chat(self, request_iterator: Any, context: Any) -> Any:
            await context.write(Text(value="hello"))
            await draining.wait()
            await context.write(Text(value="drain"))

    async with running_echo(Polite(), draining=draining) as echo:
        health = health_stub(echo.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        call = echo.stub.Chat()
        assert (await call.read()).value == "hello"
        async with asyncio.timeout(5):  # far less than the grace: nobody is left, so nobody is waited for
            await echo.server.drain(60)
        assert (await call.read()).value == "drain"
        assert await call.code() is grpc.StatusCode.OK
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await watch.read() is grpc.aio.EOF
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await echo.stub.Say(Text(), timeout=2)
        assert caught.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


async def test_a_stream_that_stays_is_cut_at_the_end_of_the_grace() -> None:
    cut = asyncio.Event()

    class Stubborn(Echo):
        async def Chat(self, request_iterator: Any, context: Any) -> Any:
            try:
                await context.write(Text(value="hello"))
                await asyncio.sleep(60)
            finally:
                cut.set()

    async with running_echo(Stubborn()) as echo:
        call = echo.stub.Chat()
        await call.read()
        async with asyncio.timeout(5):
            await echo.server.drain(0.1)
            await cut.wait()


async def test_a_client_that_leaves_frees_its_handler() -> None:
    ended: list[str] = []

    class Watching(Echo):
        async def Count(self, request: Any, context: Any) -> Any:
            try:
                while True:
                    yield Text(value="x")
                    await asyncio.sleep(0.01)
            finally:
                ended.append("count")

    async with running_echo(Watching()) as echo:
        call = echo.stub.Count(Text())
        await call.read()
        call.cancel()
        await eventually(lambda: ended == ["count"] and echo.server.open_rpcs == 0)
        labels = {"room": "test", "service": echo.service, "method": "Count", "code": "CANCELLED"}
        assert REGISTRY.get_sample_value("agent_rpc_handled_total", labels) == 1


async def test_two_services_may_share_a_server() -> None:
    other = echo_descriptor()
    async with running_echo(more=[echo_service(Generators(), other)], key=USER_KEY) as echo:
        assert await EchoStub(echo.channel, other.full_name).Say(Text(value="b")) == Text(value="b")
