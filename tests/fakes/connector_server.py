"""A connector that keeps the contract of Join, GetStatus and Leave and remembers who asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from agent.connector.v1 import connector_service_pb2 as pb
from agent.connector.v1.connector_service_pb2_grpc import (
    ConnectorServiceServicer,
    add_ConnectorServiceServicer_to_server,
)
from kit.errors import FailedPrecondition, NotFound, Unavailable
from kit.rpc.status import abort


class ProviderFailed(Unavailable):
    """The provider refused."""

    reason = "ERROR_REASON_PROVIDER_FAILED"


class ProviderDisabled(FailedPrecondition):
    """It is off."""

    reason = "ERROR_REASON_PROVIDER_DISABLED"


class SessionNotFound(NotFound):
    """There is none."""

    reason = "ERROR_REASON_SESSION_NOT_FOUND"


_Servicer: Any = ConnectorServiceServicer  # its other RPCs answer UNIMPLEMENTED


class Connector(_Servicer):  # type: ignore[misc]
    """The recorder's comings and goings."""

    def __init__(self) -> None:
        self.joins: list[pb.JoinRequest] = []
        self.leaves: list[str] = []
        self.tenants: set[str] = set()
        self.refuses = False
        self.disabled: set[str] = set()
        """Providers that are off."""
        self.sessions: dict[str, pb.Session] = {}

    async def Join(self, request: pb.JoinRequest, context: Any) -> pb.JoinResponse:
        self.joins.append(request)
        self.tenants.add(dict(context.invocation_metadata()).get("x-tenant-id", ""))
        if self.refuses:
            await abort(context, ProviderFailed("the room is locked"))
        if request.provider in self.disabled:
            await abort(context, ProviderDisabled("set BROWSER_ENABLED=true", provider=request.provider))
        session = pb.Session(meeting_id=request.meeting_id, provider=request.provider, state=pb.SESSION_STATE_LIVE)
        self.sessions[request.meeting_id] = session
        return pb.JoinResponse(session=session)

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        if request.meeting_id not in self.sessions:
            await abort(context, SessionNotFound(meeting_id=request.meeting_id))
        return pb.GetStatusResponse(session=self.sessions[request.meeting_id])

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
