"""Meetings wherever they are live: ended, and asked for their length, here or at the replica that has them."""

from typing import Any, Protocol

import grpc

from agent.ingest.v1 import meeting_service_pb2 as pb
from kit.auth.authenticator import TENANT_ID
from kit.rpc.status import error_of
from kit.telemetry import logs
from services.ingest.errors import MeetingElsewhere
from services.ingest.intake.session import MeetingKey
from services.ingest.live.meetings import LiveMeetings
from services.ingest.meetings import Meetings
from services.ingest.replicas.door import Owner
from services.ingest.replicas.peers import Peers
from services.ingest.repository import IngestRepository

_ASK_SECONDS = 3.0
_FINISH_SECONDS = 20.0

log = logs.get()


class Replicas(Protocol):
    """Who owns what, by the database."""

    async def owner(self, key: MeetingKey) -> Owner | None: ...


class Anywhere:
    """Reaches meetings on behalf of no caller: the key says whose they are."""

    def __init__(
        self, live: LiveMeetings, repository: IngestRepository, meetings: Meetings, replicas: Replicas, peers: Peers
    ) -> None:
        self._live = live
        self._repository = repository
        self._meetings = meetings
        self._replicas = replicas
        self._peers = peers

    async def finish(self, key: MeetingKey) -> None:
        """End a meeting; one that is over stays as it is.

        Raises:
            MeetingNotFound: it was erased.
            MeetingElsewhere: the replica that has it does not answer.
        """
        owner = await self._elsewhere(key)
        if owner is None:
            await self._meetings.finish(key)
            return
        request = pb.FinishMeetingRequest(meeting_id=key.meeting_id)
        try:
            async with self._peers.to(owner.address) as peer:
                await peer.meetings.FinishMeeting(request, timeout=_FINISH_SECONDS, metadata=_metadata(key))
        except grpc.aio.AioRpcError as error:
            log.info("forward_lost", owner=owner.replica_id, code=error.code().name, reason=error_of(error).reason)
            raise MeetingElsewhere(key.meeting_id, owner.address) from error

    async def length_ms(self, key: MeetingKey) -> int:
        """Return the length of a meeting so far, in milliseconds; 0 for one that was erased or not begun."""
        live = self._live.find(key)
        if live is not None:
            return live.length_ms
        row = await self._repository.meeting(key)
        owner = await self._elsewhere(key) if row.state in ("live", "finishing") else None
        if owner is None:
            return row.duration_ms
        request = pb.GetCoverageRequest(meeting_id=key.meeting_id)
        try:
            async with self._peers.to(owner.address) as peer:
                answer: Any = await peer.meetings.GetCoverage(request, timeout=_ASK_SECONDS, metadata=_metadata(key))
        except grpc.aio.AioRpcError as error:
            log.info("forward_lost", owner=owner.replica_id, code=error.code().name, reason=error_of(error).reason)
            return row.duration_ms
        return int(answer.duration_ms)

    async def _elsewhere(self, key: MeetingKey) -> Owner | None:
        if self._live.find(key) is not None:
            return None
        owner = await self._replicas.owner(key)
        return None if owner is None or owner.mine else owner


def _metadata(key: MeetingKey) -> tuple[tuple[str, str], ...]:
    return ((TENANT_ID, key.tenant_id),)
