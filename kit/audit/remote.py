"""The trail of a room that has no database: decisions go to rooms that keep one, over gRPC."""

from collections.abc import Sequence
from typing import Any

import grpc

from agent.ops.v1 import ops_service_pb2 as ops
from agent.ops.v1.ops_service_pb2_grpc import OpsServiceStub
from kit.audit.decision import Decision
from kit.errors import Unavailable
from kit.ops.audit import audit_event

_CALL_SECONDS = 5.0


class RemoteWriter:
    """Writes to the first room that takes decisions now.

    Args:
        channels: to rooms that keep the trail, with a key that may write to it.
    """

    def __init__(self, channels: Sequence[grpc.aio.Channel]) -> None:
        self._stubs: list[Any] = [OpsServiceStub(channel) for channel in channels]

    async def append(self, decisions: Sequence[Decision]) -> None:
        """See `kit.audit.trail.AuditWriter`; a batch whose answer was lost may be written twice."""
        request = ops.RecordAuditRequest(events=[audit_event(decision) for decision in decisions])
        cause: grpc.aio.AioRpcError | None = None
        for stub in self._stubs:
            try:
                await stub.RecordAudit(request, timeout=_CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                cause = error
            else:
                return
        raise Unavailable("no room takes decisions for the audit trail now") from cause
