"""A small service on a real server, for tests of what every room has: `Echo`, four RPCs, one of each shape."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, wrappers_pb2
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc
from pydantic import SecretStr

from agent.common.v1 import access_pb2
from kit.auth.authenticator import ApiKeys, Authenticator
from kit.auth.keys import KeyRing
from kit.ids import new_id
from kit.rpc.client import open_channel
from kit.rpc.server import RpcServer, RpcService, open_server

Text = wrappers_pb2.StringValue
USER_KEY = "user-key-of-the-tests"
SERVICE_KEY = "service-key-of-the-tests"

_SHAPES = {"Say": (False, False), "Count": (False, True), "Collect": (True, False), "Chat": (True, True)}
_FACTORIES: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def access(*callers: int, scope: str = "", tenant: int = access_pb2.TENANT_RULE_SCOPED) -> access_pb2.Access:
    """Make an access rule; callers are numbers of `agent.common.v1.Caller`."""
    return access_pb2.Access(callers=callers, scope=scope, tenant=tenant)  # type: ignore[arg-type]


EITHER = access(access_pb2.CALLER_USER, access_pb2.CALLER_SERVICE)


def echo_descriptor(rule: access_pb2.Access | None = EITHER) -> ServiceDescriptor:
    """Describe a fresh `tests.<id>.Echo` whose RPCs all carry `rule`; None leaves the option out."""
    package = f"tests.e{new_id().replace('-', '')}"
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto",
        package=package,
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto", "agent/common/v1/access.proto"],
    )
    service = file.service.add(name="Echo")
    for name, (client_streaming, server_streaming) in _SHAPES.items():
        method = service.method.add(
            name=name,
            input_type=".google.protobuf.StringValue",
            output_type=".google.protobuf.StringValue",
            client_streaming=client_streaming,
            server_streaming=server_streaming,
        )
        if rule is not None:
            method.options.Extensions[access_pb2.access].CopyFrom(rule)
    pool = descriptor_pool.Default()
    pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName(f"{package}.Echo")


class Echo:
    """Says back what it hears; tests override what they are about."""

    async def Say(self, request: Any, context: Any) -> Any:
        return Text(value=request.value)

    async def Count(self, request: Any, context: Any) -> Any:
        for number in range(int(request.value)):
            await context.write(Text(value=str(number)))

    async def Collect(self, request_iterator: Any, context: Any) -> Any:
        return Text(value=" ".join([request.value async for request in request_iterator]))

    async def Chat(self, request_iterator: Any, context: Any) -> Any:
        async for request in request_iterator:
            await context.write(Text(value=request.value))


def echo_service(servicer: object, descriptor: ServiceDescriptor | None = None) -> RpcService:
    """Make the service that a room would make from generated code."""
    described = descriptor or echo_descriptor()

    def add(servicer: Any, server: Any) -> None:
        handlers = {
            name: _FACTORIES[shape](
                getattr(servicer, name),
                request_deserializer=Text.FromString,
                response_serializer=Text.SerializeToString,
            )
            for name, shape in _SHAPES.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(described.full_name, handlers),))

    return RpcService(described, servicer, add)


class EchoStub:
    """What generated stubs are."""

    def __init__(self, channel: grpc.aio.Channel, service: str) -> None:
        def rpc(kind: str, name: str) -> Any:
            return getattr(channel, kind)(
                f"/{service}/{name}",
                request_serializer=Text.SerializeToString,
                response_deserializer=Text.FromString,
                _registered_method=True,
            )

        self.Say = rpc("unary_unary", "Say")
        self.Count = rpc("unary_stream", "Count")
        self.Collect = rpc("stream_unary", "Collect")
        self.Chat = rpc("stream_stream", "Chat")


def api_keys() -> Authenticator:
    """Accept USER_KEY and SERVICE_KEY."""
    return ApiKeys(KeyRing([SecretStr(USER_KEY)], [SecretStr(SERVICE_KEY)]))


@dataclass
class RunningEcho:
    """A server and a stub of one client."""

    server: RpcServer
    service: str
    stub: EchoStub
    channel: grpc.aio.Channel


@asynccontextmanager
async def running_echo(
    servicer: object | None = None,
    *,
    rule: access_pb2.Access | None = EITHER,
    key: str | None = USER_KEY,
    auth: Authenticator | None = None,
    more: Sequence[RpcService] = (),
    **options: Any,
) -> AsyncIterator[RunningEcho]:
    """Serve on a free port of 127.0.0.1 and call it with `key`; options go to `open_server`."""
    described = echo_descriptor(rule)
    services = [echo_service(servicer or Echo(), described), *more]
    async with (
        open_server("127.0.0.1:0", services=services, auth=auth or api_keys(), room="test", **options) as server,
        open_channel(server.address, api_key=key) as channel,
    ):
        yield RunningEcho(server, described.full_name, EchoStub(channel, described.full_name), channel)


def health_stub(channel: grpc.aio.Channel) -> Any:
    """Make a client of health, whose types the stubs do not know."""
    return health_pb2_grpc.HealthStub(channel)


def reflection_stub(channel: grpc.aio.Channel) -> Any:
    """Make a client of reflection, whose types the stubs do not know."""
    return cast("Any", reflection_pb2_grpc.ServerReflectionStub)(channel)


async def eventually(true: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while True:
            held = true()
            if inspect.isawaitable(held):
                held = await held
            if held:
                return
            await asyncio.sleep(0.01)
