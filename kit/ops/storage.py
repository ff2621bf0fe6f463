"""The blob store as operators see it: a probe when they ask, a readiness check all the time."""

from agent.ops.v1 import ops_service_pb2 as ops
from kit.blobs import BlobStore
from kit.ops.sources import Check

_CHECK_SECONDS = 4.0
"""Readiness has five seconds for all of its checks."""


class StorageWatch:
    """Tells how a room's blob store is."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    async def health(self) -> ops.GetStorageHealthResponse:
        """Write, read and delete a probe now."""
        health = await self._blobs.check_health(fresh=True)
        return ops.GetStorageHealthResponse(
            mode=self._blobs.mode,
            path=self._blobs.location,
            ok=health.ok,
            error=health.error,
            latency_ms=health.latency_ms,
        )

    async def check(self, *, critical: bool) -> Check:
        """Return the check of the store.

        Args:
            critical: whether the room cannot serve without it. One that must not be used here is always critical.
        """
        health = await self._blobs.check_health(timeout_seconds=_CHECK_SECONDS)
        return Check("storage", health.ok, health.error, critical=critical or bool(self._blobs.refusal))
