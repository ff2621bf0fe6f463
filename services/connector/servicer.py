"""ConnectorService: what the contract asks, answered by the sessions of this replica and the tables of all."""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from google.api.httpbody_pb2 import HttpBody

from agent.connector.v1 import connector_service_pb2 as pb
from agent.connector.v1 import connector_service_pb2_grpc as pb_grpc
from kit.auth.principal import current_principal
from kit.clock import monotonic
from kit.errors import InvalidArgument
from services.connector.breakers.breakers import Breakers
from services.connector.messages import (
    breaker_message,
    decision_message,
    notice_message,
    provider_message,
    session_message,
)
from services.connector.provider import JoinSpec, SourceLost
from services.connector.publications import SDP, Publications
from services.connector.reconciliation.decision import DecisionLedger, Source
from services.connector.reconciliation.live_pull import LivePull
from services.connector.reconciliation.reconciliation import Reconciliation
from services.connector.registry import Registry
from services.connector.sessions.record import Record
from services.connector.sessions.sessions import Sessions

_PAGE_DEFAULT, _PAGE_MOST = 50, 500
_LIMIT_MOST = 1000
_LISTED_STEPS = 5
_LANGUAGE = re.compile(r"[a-z]{2,3}")


class InvalidPageToken(InvalidArgument):
    """The page token was not made by this server."""

    reason = "ERROR_REASON_INVALID_PAGE_TOKEN"


@dataclass(frozen=True, slots=True)
class Desks:
    """Who answers what."""

    sessions: Sessions
    registry: Registry
    breakers: Breakers
    reconciliation: Reconciliation
    live_pull: LivePull
    decisions: DecisionLedger
    publications: Publications


class ConnectorServicer(pb_grpc.ConnectorServiceServicer):
    """Answers calls."""

    def __init__(self, desks: Desks) -> None:
        self._desks = desks
        self._sessions = desks.sessions
        self._publications = desks.publications

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
        return pb.JoinResponse(session=await self._session(record))

    async def Leave(self, request: pb.LeaveRequest, context: Any) -> pb.LeaveResponse:
        _require("meeting_id", request.meeting_id)
        record = await self._sessions.leave(
            current_principal().tenant_id, request.meeting_id, request.reason, provider=request.provider
        )
        return pb.LeaveResponse(session=await self._session(record))

    async def Reconnect(self, request: pb.ReconnectRequest, context: Any) -> pb.ReconnectResponse:
        _require("meeting_id", request.meeting_id)
        record = await self._sessions.reconnect(
            current_principal().tenant_id, request.meeting_id, request.reason, provider=request.provider
        )
        return pb.ReconnectResponse(session=await self._session(record))

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.GetStatusResponse:
        _require("meeting_id", request.meeting_id)
        record = await self._sessions.find(current_principal().tenant_id, request.meeting_id, request.provider)
        return pb.GetStatusResponse(session=await self._session(record))

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Any) -> pb.ListSessionsResponse:
        size = _size(request.page_size)
        before = _session_place(request.page_token) if request.page_token else None
        records = await self._sessions.page(
            current_principal().tenant_id, size + 1, before, provider=request.provider, active=request.active
        )
        shown = records[:size]
        steps = await self._sessions.transitions(shown, _LISTED_STEPS)
        token = _token(f"{shown[-1].create_time.isoformat()}|{shown[-1].session_id}") if len(records) > size else ""
        return pb.ListSessionsResponse(
            sessions=[
                session_message(record, self._sessions.participants(record), steps[record.session_id], ())
                for record in shown
            ],
            next_page_token=token,
        )

    async def Probe(self, request: pb.ProbeRequest, context: Any) -> pb.ProbeResponse:
        provider = self._provider(request.provider)
        began = monotonic()
        try:
            await self._desks.reconciliation.probe(provider)
        except SourceLost as lost:
            return pb.ProbeResponse(ok=False, error=str(lost), latency_ms=_since_ms(began))
        return pb.ProbeResponse(ok=True, latency_ms=_since_ms(began))

    async def Reconcile(self, request: pb.ReconcileRequest, context: Any) -> pb.ReconcileResponse:
        done = await self._desks.reconciliation.run(
            Source.OPERATOR, limit=_limit(request.limit), provider=self._some(request.provider)
        )
        return pb.ReconcileResponse(
            scanned=done.scanned,
            rejoined=done.rejoined,
            failed=done.failed,
            breakers_reset=done.breakers_reset,
            decisions=[decision_message(decision) for decision in done.decisions],
        )

    async def LivePull(self, request: pb.LivePullRequest, context: Any) -> pb.LivePullResponse:
        run = await self._desks.live_pull.run(
            Source.OPERATOR, limit=_limit(request.limit), provider=self._some(request.provider)
        )
        return pb.LivePullResponse(
            scanned=run.scanned,
            pulled=run.pulled,
            ingested=run.ingested,
            failed=run.failed,
            connected=run.connected,
            invalid_chunks=run.invalid_chunks,
            duplicates=run.duplicates,
            reconnected=run.reconnected,
        )

    async def GetCircuitBreaker(
        self, request: pb.GetCircuitBreakerRequest, context: Any
    ) -> pb.GetCircuitBreakerResponse:
        return pb.GetCircuitBreakerResponse(breaker=await self._breaker(self._provider(request.provider)))

    async def ResetCircuitBreaker(
        self, request: pb.ResetCircuitBreakerRequest, context: Any
    ) -> pb.ResetCircuitBreakerResponse:
        provider = self._provider(request.provider)
        await self._desks.breakers.reset(provider, request.expected_state)
        return pb.ResetCircuitBreakerResponse(breaker=await self._breaker(provider))

    async def ListProviders(self, request: pb.ListProvidersRequest, context: Any) -> pb.ListProvidersResponse:
        registry = self._desks.registry
        return pb.ListProvidersResponse(
            providers=[
                provider_message(registry.installed[name], default=name == registry.default_name)
                for name in sorted(registry.installed)
            ]
        )

    async def ListDecisions(self, request: pb.ListDecisionsRequest, context: Any) -> pb.ListDecisionsResponse:
        size = _size(request.page_size)
        before = _decision_place(request.page_token) if request.page_token else None
        found = await self._desks.decisions.page(
            current_principal().tenant_id,
            size + 1,
            before,
            provider=request.provider,
            meeting_id=request.meeting_id,
        )
        token = _token(str(found[size - 1].sequence)) if len(found) > size else ""
        return pb.ListDecisionsResponse(
            decisions=[decision_message(decision) for decision in found[:size]], next_page_token=token
        )

    async def WithdrawConsent(self, request: pb.WithdrawConsentRequest, context: Any) -> pb.WithdrawConsentResponse:
        _require("meeting_id", request.meeting_id)
        _require("participant_id", request.participant_id)
        tenant_id = current_principal().tenant_id
        notice = await self._sessions.withdraw(tenant_id, request.meeting_id, request.participant_id)
        return pb.WithdrawConsentResponse(notice=notice_message(notice))

    async def Publish(self, request: pb.PublishRequest, context: Any) -> pb.PublishResponse:
        _require("meeting_id", request.meeting_id)
        publication_id, answer = await self._publications.publish(
            current_principal().tenant_id,
            request.meeting_id,
            request.offer.data,
            request.offer.content_type,
            request.display_name,
        )
        made = f"/v1/meetings/{quote(request.meeting_id, safe='')}/whip/{publication_id}"
        await context.send_initial_metadata((("x-http-code", "201"), ("location", made)))
        return pb.PublishResponse(
            publication_id=publication_id, answer=HttpBody(content_type=SDP, data=answer.encode())
        )

    async def Unpublish(self, request: pb.UnpublishRequest, context: Any) -> pb.UnpublishResponse:
        _require("meeting_id", request.meeting_id)
        _require("publication_id", request.publication_id)
        self._publications.unpublish(current_principal().tenant_id, request.meeting_id, request.publication_id)
        return pb.UnpublishResponse()

    async def _session(self, record: Record) -> pb.Session:
        steps = await self._sessions.transitions([record])
        notices = await self._sessions.notices(record)
        return session_message(record, self._sessions.participants(record), steps[record.session_id], notices)

    async def _breaker(self, provider: str) -> pb.CircuitBreaker:
        breakers = self._desks.breakers
        return breaker_message(provider, await breakers.find(provider), await breakers.history(provider))

    def _provider(self, name: str) -> str:
        """Return the name of an installed provider; the default one's if empty."""
        return self._desks.registry.kind(name or self._desks.registry.default_name).name

    def _some(self, name: str) -> str:
        """Return the name of an installed provider, or nothing for all."""
        return self._provider(name) if name else ""


def _require(field: str, value: str) -> None:
    if not value:
        raise InvalidArgument("is empty", field=field)


def _size(asked: int) -> int:
    return min(max(asked, 0) or _PAGE_DEFAULT, _PAGE_MOST)


def _limit(asked: int) -> int:
    if not 0 <= asked <= _LIMIT_MOST:
        raise InvalidArgument(f"must be 0 to {_LIMIT_MOST}", field="limit")
    return asked


def _since_ms(began: float) -> int:
    return round(1000 * (monotonic() - began))


def _token(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).decode()


def _place(token: str) -> str:
    return base64.urlsafe_b64decode(token.encode()).decode()


def _session_place(token: str) -> tuple[datetime, str]:
    try:
        moment, _, session_id = _place(token).partition("|")
        return datetime.fromisoformat(moment), session_id
    except (ValueError, binascii.Error) as error:
        raise InvalidPageToken(field="page_token") from error


def _decision_place(token: str) -> int:
    try:
        return int(_place(token))
    except (ValueError, binascii.Error) as error:
        raise InvalidPageToken(field="page_token") from error
