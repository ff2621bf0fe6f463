"""ConnectorService: what the contract asks, answered by the sessions of this replica."""

import base64
import binascii
import re
from datetime import datetime
from typing import Any, NoReturn

from agent.connector.v1 import connector_service_pb2 as pb
from agent.connector.v1 import connector_service_pb2_grpc as pb_grpc
from kit.auth.principal import current_principal
from kit.errors import InvalidArgument, Unimplemented
from services.connector.provider import JoinSpec
from services.connector.sessions.record import Record, State
from services.connector.sessions.sessions import Sessions

_PAGE_DEFAULT, _PAGE_MOST = 50, 500
_LANGUAGE = re.compile(r"[a-z]{2,3}")

_STATES = {
    State.IDLE: pb.SESSION_STATE_IDLE,
    State.JOINING: pb.SESSION_STATE_JOINING,
    State.LIVE: pb.SESSION_STATE_LIVE,
    State.DEGRADED: pb.SESSION_STATE_DEGRADED,
    State.RECONNECTING: pb.SESSION_STATE_RECONNECTING,
    State.LEAVING: pb.SESSION_STATE_LEAVING,
    State.ENDED: pb.SESSION_STATE_ENDED,
    State.FAILED: pb.SESSION_STATE_FAILED,
}


class InvalidPageToken(InvalidArgument):
    """The page token was not made by this server."""

    reason = "ERROR_REASON_INVALID_PAGE_TOKEN"


class ConnectorServicer(pb_grpc.ConnectorServiceServicer):
    """Answers calls."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def Join(self, request: pb.JoinRequest, context: Any) -> pb.JoinResponse:
        _require("meeting_id", request.meeting_id)
        if request.language and not _LANGUAGE.fullmatch(request.language):
            raise InvalidArgument("is not an ISO 639-1 code", field="language")
        spec = JoinSpec(
            meeting_id=request.meeting_id,
            tenant_id=current_principal().tenant_id,
            meeting_url=request.meeting_url,
            language=request.language,
        )
        record = await self._sessions.join(spec, provider=request.provider, request_id=request.request_id)
        return pb.JoinResponse(session=self._session(record))

    async def Leave(self, request: pb.LeaveRequest, context: Any) -> pb.LeaveResponse:
        _require("meeting_id", request.meeting_id)
        record = await self._sessions.leave(current_principal().tenant_id, request.meeting_id, request.reason)
        return pb.LeaveResponse(session=self._session(record))

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        _require("meeting_id", request.meeting_id)
        record = await self._sessions.find(current_principal().tenant_id, request.meeting_id)
        return pb.GetStatusResponse(session=self._session(record))

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Any) -> pb.ListSessionsResponse:
        size = min(max(request.page_size, 0) or _PAGE_DEFAULT, _PAGE_MOST)
        before = _decode_token(request.page_token) if request.page_token else None
        records = await self._sessions.page(current_principal().tenant_id, size + 1, before)
        shown = records[:size]
        token = _encode_token(shown[-1]) if len(records) > size else ""
        return pb.ListSessionsResponse(sessions=[self._session(record) for record in shown], next_page_token=token)

    async def Reconnect(self, request: pb.ReconnectRequest, context: Any) -> pb.ReconnectResponse:
        _not_yet("Reconnect", "a session reconnects by itself; one that failed can be joined again")

    async def Probe(self, request: pb.ProbeRequest, context: Any) -> pb.ProbeResponse:
        _not_yet("Probe", "no provider of this release has anything to probe but the gateway's own health")

    async def Reconcile(self, request: pb.ReconcileRequest, context: Any) -> pb.ReconcileResponse:
        _not_yet("Reconcile", "sessions whose connector died are not rejoined yet; Join does it")

    async def LivePull(self, request: pb.LivePullRequest, context: Any) -> pb.LivePullResponse:
        _not_yet("LivePull", "no provider of this release holds chunks to pull")

    async def GetCircuitBreaker(
        self, request: pb.GetCircuitBreakerRequest, context: Any
    ) -> pb.GetCircuitBreakerResponse:
        _not_yet("GetCircuitBreaker", "no provider of this release has a circuit breaker")

    async def ResetCircuitBreaker(
        self, request: pb.ResetCircuitBreakerRequest, context: Any
    ) -> pb.ResetCircuitBreakerResponse:
        _not_yet("ResetCircuitBreaker", "no provider of this release has a circuit breaker")

    async def ListProviders(self, request: pb.ListProvidersRequest, context: Any) -> pb.ListProvidersResponse:
        _not_yet("ListProviders", "see the documentation for what can be joined")

    async def ListDecisions(self, request: pb.ListDecisionsRequest, context: Any) -> pb.ListDecisionsResponse:
        _not_yet("ListDecisions", "nothing is reconciled yet")

    async def WithdrawConsent(self, request: pb.WithdrawConsentRequest, context: Any) -> pb.WithdrawConsentResponse:
        _not_yet("WithdrawConsent", "mute instead")

    async def Publish(self, request: pb.PublishRequest, context: Any) -> pb.PublishResponse:
        _not_yet("Publish", "join a room instead")

    async def Unpublish(self, request: pb.UnpublishRequest, context: Any) -> pb.UnpublishResponse:
        _not_yet("Unpublish", "nothing was published")

    def _session(self, record: Record) -> pb.Session:
        session = pb.Session(
            session_id=record.session_id,
            meeting_id=record.meeting_id,
            provider=record.provider,
            state=_STATES[record.state],
            reason=record.reason,
            participants=[
                pb.SessionParticipant(
                    participant_id=heard.participant_id,
                    display_name=heard.display_name,
                    muted=heard.muted,
                    loss=heard.loss,
                )
                for heard in self._sessions.participants(record)
            ],
            attempts=record.attempts,
        )
        session.update_time.FromDatetime(record.update_time)
        if record.joined_time is not None:
            session.join_time.FromDatetime(record.joined_time)
        return session


def _require(field: str, value: str) -> None:
    if not value:
        raise InvalidArgument("is empty", field=field)


def _not_yet(rpc: str, why: str) -> NoReturn:
    raise Unimplemented(f"{rpc} is not part of this release: {why}", rpc=rpc)


def _encode_token(record: Record) -> str:
    return base64.urlsafe_b64encode(f"{record.create_time.isoformat()}|{record.session_id}".encode()).decode()


def _decode_token(token: str) -> tuple[datetime, str]:
    try:
        moment, _, session_id = base64.urlsafe_b64decode(token.encode()).decode().partition("|")
        return datetime.fromisoformat(moment), session_id
    except (ValueError, binascii.Error) as error:
        raise InvalidPageToken(field="page_token") from error
