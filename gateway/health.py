"""Health of the mesh: every room's own health, asked over gRPC and joined."""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any, Literal

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.edge import ROUTE
from kit.ops.sources import Check

RoomHealth = Literal["serving", "not_serving", "away"]

_ASK_SECONDS = 2.0
_FRESH_SECONDS = 1.0


class MeshHealth:
    """Asks rooms; an answer stands for a second, so that probes from everywhere cost the rooms little."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self._stubs: dict[str, Any] = {room: health_pb2_grpc.HealthStub(channel) for room, channel in channels.items()}
        self._asking = asyncio.Lock()
        self._answers: dict[str, RoomHealth] = {}
        self._asked_at = float("-inf")

    async def rooms(self) -> Mapping[str, RoomHealth]:
        """Return what each room says about itself; a room that does not answer within 2 s is away."""
        async with self._asking:
            if monotonic() - self._asked_at >= _FRESH_SECONDS:
                answers = await asyncio.gather(*(self._ask(stub) for stub in self._stubs.values()))
                self._answers = dict(zip(self._stubs, answers, strict=True))
                self._asked_at = monotonic()
            return self._answers

    async def checks(self) -> list[Check]:
        """Return a check per room. A room that is away makes the gateway poorer, not useless."""
        return [
            Check(room, state == "serving", "" if state == "serving" else f"{room} is {state}", critical=False)
            for room, state in (await self.rooms()).items()
        ]

    async def endpoint(self, request: Request) -> Response:
        """Answer `GET /health`: 200 while every room serves, 503 otherwise; the rooms are named either way."""
        request.scope[ROUTE] = "/health"
        rooms = await self.rooms()
        well = all(state == "serving" for state in rooms.values())
        document = {"status": "ok" if well else "degraded", "rooms": rooms}
        return JSONResponse(document, 200 if well else 503, {"cache-control": "no-store"})

    async def _ask(self, stub: Any) -> RoomHealth:
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_ASK_SECONDS)
        except grpc.aio.AioRpcError:
            return "away"
        return "serving" if answer.status == health_pb2.HealthCheckResponse.SERVING else "not_serving"
