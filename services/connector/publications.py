"""Publications: what is published to meetings over WHIP, in sessions that begin with the first of them."""

import grpc

from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from kit.auth.authenticator import TENANT_ID
from kit.errors import Unavailable
from services.connector.errors import MeetingFinished, MeetingNotFound, OfferRejected, ProviderFailed, StateChanged
from services.connector.provider import JoinSpec
from services.connector.providers.whip import KIND, WhipProvider
from services.connector.registry import Registry
from services.connector.sessions.sessions import Sessions

SDP = "application/sdp"
_ASK_SECONDS = 5.0


class Publications:
    """Takes publications and ends them.

    Args:
        sessions: of this replica.
        registry: the providers, WHIP among them.
        channel: to ingest, which knows the meetings.
    """

    def __init__(self, sessions: Sessions, registry: Registry, channel: grpc.aio.Channel) -> None:
        self._sessions = sessions
        self._registry = registry
        self._meetings = MeetingServiceStub(channel)

    async def publish(
        self, tenant_id: str, meeting_id: str, offer: bytes, content_type: str, display_name: str
    ) -> tuple[str, str]:
        """Take a publication; the meeting's session begins if none is running.

        Args:
            tenant_id: whose meeting it is.
            meeting_id: the meeting.
            offer: a session description with every candidate in it.
            content_type: of the offer, "application/sdp".
            display_name: of the publisher, empty if nobody said.

        Returns:
            The publication's identifier and the answer.

        Raises:
            OfferRejected: the offer cannot be answered.
            PublicationsFull: there are too many already.
            MeetingNotFound: the tenant has no such meeting.
            MeetingFinished: it has ended.
            StateChanged: the recorder is in a call elsewhere for this meeting.
            SessionElsewhere: another replica holds the meeting's session.
        """
        if content_type.partition(";")[0].strip().lower() != SDP:
            raise OfferRejected(f"send it as {SDP}", detail="media type")
        try:
            offer_sdp = offer.decode()
        except UnicodeDecodeError as error:
            raise OfferRejected("it is not text", detail="encoding") from error
        provider = self._provider()
        await self._find(tenant_id, meeting_id)
        record = await self._sessions.join(JoinSpec(meeting_id, tenant_id), provider=KIND.name)
        if record.provider != KIND.name:
            raise StateChanged(
                "the recorder of this meeting is in a call of another kind", expected=KIND.name, actual=record.provider
            )
        return await provider.source(tenant_id, meeting_id).publish(offer_sdp, display_name.strip())

    def unpublish(self, tenant_id: str, meeting_id: str, publication_id: str) -> None:
        """End a publication.

        Raises:
            PublicationNotFound: there is none of this id, or no longer.
            SessionElsewhere: another replica holds the meeting's session.
        """
        self._provider().source(tenant_id, meeting_id).unpublish(publication_id)

    async def _find(self, tenant_id: str, meeting_id: str) -> None:
        """Make sure of the meeting first: a session would find out only after the publisher was told all is well."""
        request = meetings.GetMeetingRequest(meeting_id=meeting_id)
        try:
            metadata = ((TENANT_ID, tenant_id),)
            there = await self._meetings.GetMeeting(request, metadata=metadata, timeout=_ASK_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise MeetingNotFound(meeting_id=meeting_id) from error
            raise Unavailable("ingest cannot say whether there is such a meeting") from error
        if there.meeting.state == "finished":
            raise MeetingFinished(meeting_id=meeting_id)

    def _provider(self) -> WhipProvider:
        provider = self._registry.provider(KIND.name)
        if not isinstance(provider, WhipProvider):  # an installed package took the name
            raise ProviderFailed("publications are not taken", provider=KIND.name)
        return provider
