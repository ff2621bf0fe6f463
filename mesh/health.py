"""The health of a room, as gRPC's own health service tells it."""

from __future__ import annotations

import os
import sys

import grpc
from grpc_health.v1 import health_pb2

from kit.rpc.client import open_channel
from kit.rpc.credentials import to_itself
from kit.rpc.status import error_of
from kit.settings import SettingsError
from mesh.rooms import ROOMS

TIMEOUT_SECONDS = 2.0


async def serves(channel: grpc.aio.Channel) -> bool:
    """Ask once.

    Raises:
        grpc.aio.AioRpcError: nobody answers.
    """
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    answer: health_pb2.HealthCheckResponse = await check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS)
    return answer.status == health_pb2.HealthCheckResponse.SERVING


async def run_health(name: str) -> int:
    """Print nothing when the room serves; the exit status is 0 then, 1 otherwise."""
    room = next((room for room in ROOMS if room.name == name), None)
    if room is None:
        print(f"agent: no room {name!r}; there are {', '.join(room.name for room in ROOMS)}", file=sys.stderr)
        return 2
    variable = f"{name.upper()}_LISTEN" if room.http_port is None else f"{name.upper()}_GRPC_LISTEN"
    port = os.environ.get(variable, room.address).rpartition(":")[2]
    try:
        tls = to_itself()
    except SettingsError as error:
        sys.stderr.writelines(f"agent: {problem}\n" for problem in error.problems)
        return 1
    async with open_channel(f"127.0.0.1:{port}", api_key=None, tls=tls) as channel:
        try:
            if await serves(channel):
                return 0
        except grpc.aio.AioRpcError as error:
            print(f"agent: {name} does not answer on port {port}: {error_of(error).message}", file=sys.stderr)
            return 1
    print(f"agent: {name} is not serving", file=sys.stderr)
    return 1
