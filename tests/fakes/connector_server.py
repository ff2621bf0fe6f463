"""A connector that keeps the contract of Join and Leave and remembers who asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from agent.connector.v1 import connector_service_pb2 as pb
from agent.connector.v1.connector_service_pb2_grpc import (
    ConnectorServiceServicer,
    add_ConnectorServiceServicer_to_server,
)
from kit.errors import Unavailable
from kit.rpc.status import abort


class ProviderFailed(Unavailable):
    """The provider refused."""

    reason = "ERROR_REASON_PROVIDER_FAILED"


_Servicer: Any = ConnectorServiceServicer  # its other RPCs answer UNIMPLEMENTED


class Connector(_Servicer):  # type: ignore[misc]
    """The recorder's comings and goings."""

    def __init__(self) -> None:
        self.joins: list[pb.JoinRequest] = []
        self.leaves: list[str] = []
        self.tenants: set[str] = set()
        self.refuses = False

    async def Join(self, request: pb.JoinRequest, context: Any) -> pb.JoinResponse:
        self.joins.append(request)
        self.tenants.add(dict(context.invocation_metadata()).get("x-tenant-id", ""))
        if self.refuses:
            await abort(context, ProviderFailed("the room is locked"))
        session = pb.Session(meeting_id=request.meeting_id, provider=request.provider, state=pb.SESSION_STATE_LIVE)
        return pb.JoinResponse(session=session)

    async def Leave(self, request: pb.LeaveRequest, context: Any) -> pb.LeaveResponse:
        self.leaves.append(request.meeting_id)
        return pb.LeaveResponse(session=pb.Session(state=pb.SESSION_STATE_ENDED))


@asynccontextmanager
async def serving_connector(connector: Connector) -> AsyncIterator[int]:
    """Serve on 127.0.0.1 for the block; yields the port."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_ConnectorServiceServicer_to_server(connector, server)
    bound = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(None)
