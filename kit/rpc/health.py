"""Health: grpc.health.v1 with a status per service, whose watchers are let go when the server stops."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE = "grpc.health.v1.Health"

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):
    """The statuses of the server (the empty name) and of its services; not serving until told."""

    def __init__(self, services: Iterable[str]) -> None:
        self._names = frozenset(("", *services))
        self._serving = False
        self._stopping = False
        self._changed = asyncio.Condition()

    @property
    def serving(self) -> bool:
        """Whether calls are welcome."""
        return self._serving

    async def set_serving(self, serving: bool) -> None:
        """Say whether calls are welcome; after `stop` they are not, whatever is said."""
        await self._set(serving and not self._stopping)

    async def stop(self) -> None:
        """Say, for good, that calls are not welcome, and let the watchers go."""
        self._stopping = True
        await self._set(False)

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return health_pb2.HealthCheckResponse(status=self._status(request.service))

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        told: int | None = None
        while not (self._stopping and told == self._status(request.service)):
            async with self._changed:
                while told == self._status(request.service) and not self._stopping:
                    await self._changed.wait()
            if told != self._status(request.service):
                told = self._status(request.service)
                yield health_pb2.HealthCheckResponse(status=told)

    def _status(self, service: str) -> Any:  # an enum whose stub cannot be named
        if service not in self._names:
            return _SERVICE_UNKNOWN
        return _SERVING if self._serving else _NOT_SERVING

    async def _set(self, serving: bool) -> None:
        async with self._changed:
            self._serving = serving
            self._changed.notify_all()
