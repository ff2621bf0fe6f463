"""Every RPC and every caller, through every door: what happens is what the access option says."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import httpx2
import pytest
from google.protobuf.descriptor import MethodDescriptor
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from agent.common.v1 import access_pb2
from gateway.app import Gateway
from gateway.rest import contract
from gateway.rest.binding import Binding, read_bindings
from kit.auth.authenticator import Authenticator
from kit.telemetry import logs
from tests.contract.access.callers import (
    SOCKET,
    Caller,
    Verdict,
    key_callers,
    key_installation,
    token_callers,
    token_installation,
)
from tests.contract.access.everything import access_of, gateway_before_everything, methods, serving_everything
from tests.fakes.identity_provider import running_provider

_GRPC: Mapping[grpc.StatusCode, Verdict] = {
    grpc.StatusCode.UNAUTHENTICATED: "unauthenticated",
    grpc.StatusCode.PERMISSION_DENIED: "denied",
    grpc.StatusCode.UNIMPLEMENTED: "admitted",
}
_HTTP: Mapping[int, Verdict] = {401: "unauthenticated", 403: "denied", 501: "admitted", 200: "admitted"}
INTERNAL_SOCKET = access_pb2.Access(callers=[access_pb2.CALLER_SERVICE], scope=SOCKET)


Installation = tuple[Authenticator, list[Caller]]


@pytest.fixture(scope="module", params=["tokens", "keys"])
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    if request.param == "keys":
        yield key_installation(), key_callers()
        return
    with running_provider() as provider:
        yield token_installation(provider), token_callers(provider)


@pytest.fixture(autouse=True)
def _no_line_per_refusal() -> None:
    logs.configure("contract", "error")


async def test_over_grpc(installation: Installation):
    auth, callers = installation
    surprises: list[str] = []
    async with serving_everything(auth) as server, grpc.aio.insecure_channel(server.address) as channel:
        for method in methods():
            for caller in callers:
                code = await _call(channel, method, caller)
                expected = caller.verdict(access_of(method))
                if _GRPC.get(code) != expected:
                    surprises.append(f"{method.full_name}: {caller.name}: {code.name}, not {expected}")
    assert not surprises, "\n".join(surprises)
    assert len(methods()) > 50


async def test_over_rest(installation: Installation):
    auth, callers = installation
    bindings = read_bindings(contract.services(), withheld=contract.WITHHELD)
    surprises: list[str] = []
    async with (
        gateway_before_everything(auth) as gateway,
        httpx2.AsyncClient(base_url=gateway.http.url, timeout=30) as http,
    ):
        for binding in bindings:
            for caller in callers:
                status = await _request(http, binding, caller)
                expected = caller.verdict(access_of(binding.method))
                if _HTTP.get(status) != expected:
                    surprises.append(f"{binding.verb} {binding.template.text}: {caller.name}: {status}, not {expected}")
    assert not surprises, "\n".join(surprises)
    assert len(bindings) > 30


@pytest.mark.parametrize("carrier", ["headers", "message"])
@pytest.mark.parametrize("contour", ["/v1/ws", "/v1/ws/internal"])
async def test_over_websocket(installation: Installation, contour: str, carrier: str):
    auth, callers = installation
    (watching,) = (method for method in methods() if method.name == "WatchMeeting")
    surprises: list[str] = []
    async with gateway_before_everything(auth) as gateway:
        for caller in callers:
            expected = caller.verdict(access_of(watching))
            if contour.endswith("internal"):
                expected = caller.verdict(INTERNAL_SOCKET)
            status = await _watch(gateway, contour, caller, carrier)
            if _HTTP.get(status) != expected:
                surprises.append(f"{contour}: {caller.name}: {status}, not {expected}")
    assert not surprises, "\n".join(surprises)


async def _call(channel: grpc.aio.Channel, method: MethodDescriptor, caller: Caller) -> grpc.StatusCode:
    path = f"/{method.containing_service.full_name}/{method.name}"
    metadata = tuple(caller.shown.items())

    async def nothing() -> Any:
        for _ in ():
            yield b""

    call: Any
    empty: Any = b""
    if method.client_streaming and method.server_streaming:
        call = channel.stream_stream(path)(nothing(), metadata=metadata, timeout=10)
    elif method.client_streaming:
        call = channel.stream_unary(path)(nothing(), metadata=metadata, timeout=10)
    elif method.server_streaming:
        call = channel.unary_stream(path)(empty, metadata=metadata, timeout=10)
    else:
        call = channel.unary_unary(path)(empty, metadata=metadata, timeout=10)
    return await call.code()  # type: ignore[no-any-return]


async def _request(http: httpx2.AsyncClient, binding: Binding, caller: Caller) -> int:
    path = binding.template.openapi
    for field in binding.template.fields:
        path = path.replace(f"{{{field}}}", "1")
    content: dict[str, Any] = {"json": {}} if binding.body else {}
    headers = dict(caller.shown)
    if binding.takes_file:
        headers["content-type"] = contract.FILE_BODIES.get(binding.method.full_name, "application/octet-stream")
        content = {"content": b"v=0"}
    async with http.stream(binding.verb, path, headers=headers, **content) as response:  # some never end
        return response.status_code


async def _watch(gateway: Gateway, contour: str, caller: Caller, carrier: str) -> int:
    """Return the status of the problem with which the socket ends."""
    message = {"type": "watch", "meeting_id": "0199a7c2-0000-7000-8000-000000000000"}
    headers = dict(caller.shown)
    if carrier == "message":
        bearer = headers.pop("authorization", "")
        credential = headers.pop("x-api-key", "") or (bearer.removeprefix("Bearer ") if bearer[:7] == "Bearer " else "")
        message["api_key"] = credential
    url = gateway.http.url.replace("http", "ws", 1) + contour
    async with connect(url, additional_headers=headers) as socket:
        await socket.send(json.dumps(message))
        try:
            while True:
                answer = json.loads(await socket.recv())
                if answer["type"] == "error":
                    return int(answer["problem"]["status"])
        except ConnectionClosed as closed:
            raise AssertionError(f"closed without a problem: {closed}") from closed
