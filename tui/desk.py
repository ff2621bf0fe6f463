"""Questions and orders to the gateway, one call each; what streams is `tui.client` and `tui.following`.

Answers are rows, their texts clean. It runs on the event loop of whoever opens it, as every grpc.aio call must.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import grpc

from agent.connector.v1 import connector_service_pb2 as connector
from agent.connector.v1.connector_service_pb2_grpc import ConnectorServiceStub
from agent.console.v1 import admin_service_pb2 as admin
from agent.console.v1 import console_service_pb2 as pb
from agent.console.v1.admin_service_pb2_grpc import AdminServiceStub
from agent.console.v1.console_service_pb2_grpc import ConsoleServiceStub
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from agent.report.v1 import report_service_pb2 as reports
from agent.report.v1.report_service_pb2_grpc import ReportServiceStub
from kit.ids import new_id
from kit.rpc.client import open_channel
from tui.clean import clean
from tui.connection import Connection
from tui.errors import ConsoleError, Refused
from tui.following import follow
from tui.orders import Caller, Order
from tui.problems import problem_of, refusal_of
from tui.rows import (
    AuditRow,
    ChangeRow,
    CheckRow,
    DecisionRow,
    DeliveryRow,
    JobRow,
    MeetingRow,
    StorageRow,
    VoiceRow,
    read_row,
)
from tui.transcript import Transcript

T = TypeVar("T")

_PROVIDER_BREAKERS = "connector."  # before a provider's name in its breaker's
_QUESTION_SECONDS = 10.0
_ORDER_SECONDS = 30.0  # a recorder has 10 s to leave and 10 s to come back
_PAGE_ROWS = 200
_MAX_REASON_CHARACTERS = 500
_MAX_PAYLOAD_CHARACTERS = 10_000  # rooms send no more, and JSON that is cut cannot be read


class Desk:
    """One gateway, asked and told.

    Raises, in every method:
        ConsoleError: a sentence that says why not, and what to do.
    """

    def __init__(self, channel: grpc.aio.Channel, connection: Connection, *, ascii_only: bool = False) -> None:
        self.meetings_stub: Any = MeetingServiceStub(channel)
        self.clean: Callable[[str], str] = partial(clean, ascii_only=ascii_only)
        self.ascii_only = ascii_only
        self.console_stub: Any = ConsoleServiceStub(channel)
        self._admin: Any = AdminServiceStub(channel)
        self._connector: Any = ConnectorServiceStub(channel)
        self._reports: Any = ReportServiceStub(channel)
        self._connection = connection

    def refusal(self, failure: grpc.aio.AioRpcError, doing: str) -> ConsoleError:
        """Say why a call failed."""
        return refusal_of(failure, self._connection, self.clean, doing=doing)

    async def whoami(self) -> Caller:
        """Ask who we are."""
        try:
            known = await self.console_stub.WhoAmI(pb.WhoAmIRequest(), timeout=_QUESTION_SECONDS)
        except grpc.aio.AioRpcError as failure:
            raise problem_of(failure, self._connection, self.clean) from None
        return Caller(
            self.clean(known.subject),
            self.clean(known.role),
            self.clean(known.auth_type),
            self.clean(known.tenant_id),
            tuple(map(self.clean, known.scopes)),
        )

    async def run(self, order: Order, *, request_id: str = "") -> str:
        """Carry out an order and return the sentence that the gateway answers."""
        request = pb.RunActionRequest(
            action=order.action,
            target=order.target,
            expected_state=order.expected_state,
            provider=order.provider,
            reason=self._signed(order.reason or "agent-console"),
            request_id=request_id or new_id(),
        )
        answer = await self._ask(self.console_stub.RunAction(request, timeout=_ORDER_SECONDS), order.doing)
        return self.clean(answer.message)

    def _signed(self, reason: str) -> str:
        """Say who wants it, where the key does not."""
        person = self._connection.person
        return f"{person}: {reason}"[:_MAX_REASON_CHARACTERS] if person else reason

    async def jobs(self, queue: str, state: str = "", *, limit: int = _PAGE_ROWS) -> Sequence[JobRow]:
        """List jobs of a queue, newest first, in one state unless it is empty."""
        rows: list[JobRow] = []
        token = ""
        while len(rows) < limit:
            request = admin.ListJobsRequest(
                queue=queue, state=state, page_size=min(_PAGE_ROWS, limit - len(rows)), page_token=token
            )
            page = await self._question(self._admin.ListJobs, request, f"list the jobs of {self.clean(queue)}")
            rows += [self._job(job) for job in page.jobs]
            token = page.next_page_token
            if not token:
                break
        return rows

    def _job(self, job: admin.Job) -> JobRow:
        payload = clean(job.payload, ascii_only=self.ascii_only, limit=_MAX_PAYLOAD_CHARACTERS)
        return replace(read_row(JobRow, job, self.clean), payload=payload)

    async def queues_with_dead_letters(self) -> Sequence[str]:
        """Name the queues in which jobs gave up."""
        answer = await self._question(self._admin.GetQueuesHealth, admin.GetQueuesHealthRequest(), "count the jobs")
        return sorted({queue.queue for queue in answer.queues if queue.dead})

    async def audit(
        self, *, limit: int = _PAGE_ROWS, outcome: str = "", subject: str = "", endpoint: str = ""
    ) -> Sequence[AuditRow]:
        """List the newest decisions about access, newest first."""
        request = admin.ListAuditEventsRequest(page_size=limit, outcome=outcome, subject=subject, endpoint=endpoint)
        page = await self._question(self._admin.ListAuditEvents, request, "read the audit trail")
        return [read_row(AuditRow, event, self.clean) for event in page.events]

    async def checks(self) -> Sequence[CheckRow]:
        """Run the checks of every room."""
        answer = await self._question(
            self._admin.GetSystemReadiness, admin.GetSystemReadinessRequest(), "check the rooms"
        )
        return [read_row(CheckRow, check, self.clean) for check in answer.checks]

    async def storage(self) -> Sequence[StorageRow]:
        """Probe the blob stores."""
        answer = await self._question(
            self._admin.GetStorageHealth, admin.GetStorageHealthRequest(), "probe the storage"
        )
        return [read_row(StorageRow, room, self.clean) for room in answer.rooms]

    async def meetings(self, *, limit: int = 100) -> Sequence[MeetingRow]:
        """List meetings, newest first."""
        request = meetings.ListMeetingsRequest(page_size=limit)
        answer = await self._question(self.meetings_stub.ListMeetings, request, "list the meetings")
        return [read_row(MeetingRow, meeting, self.clean) for meeting in answer.meetings]

    async def deliveries(self, meeting_id: str) -> Sequence[DeliveryRow]:
        """List what became of a report."""
        request = reports.ListDeliveriesRequest(meeting_id=meeting_id)
        answer = await self._question(self._reports.ListDeliveries, request, "list the deliveries")
        return [read_row(DeliveryRow, delivery, self.clean) for delivery in answer.deliveries]

    async def breaker_history(self, name: str) -> Sequence[ChangeRow]:
        """List the changes of a provider's breaker, newest first; its last error stands before them."""
        request = connector.GetCircuitBreakerRequest(provider=name.removeprefix(_PROVIDER_BREAKERS))
        answer = await self._question(self._connector.GetCircuitBreaker, request, "read the breaker's history")
        rows = [read_row(ChangeRow, change, self.clean) for change in answer.breaker.history]
        if answer.breaker.last_error:
            rows.insert(0, ChangeRow("", "last error", self.clean(answer.breaker.last_error)))
        return rows

    async def decisions(self, provider: str = "") -> Sequence[DecisionRow]:
        """Read the ledger of reconciliation, newest first."""
        request = connector.ListDecisionsRequest(provider=provider, page_size=100)
        answer = await self._question(self._connector.ListDecisions, request, "read the ledger")
        return [read_row(DecisionRow, decision, self.clean) for decision in answer.decisions]

    async def voices(self, meeting_id: str) -> Sequence[VoiceRow]:
        """List the participants that the recorder hears now; none when no recorder is in the call."""
        request = connector.GetStatusRequest(meeting_id=meeting_id)
        try:
            answer = await self._question(self._connector.GetStatus, request, "ask the recorder")
        except Refused:
            return []
        return [
            VoiceRow(
                self.clean(one.participant_id),
                self.clean(one.display_name),
                in_call=True,
                muted=one.muted,
                withdrawn=one.withdrawn,
                loss=one.loss,
            )
            for one in answer.session.participants
        ]

    async def follow(self, meeting_id: str, transcript: Transcript) -> None:
        """Keep a transcript up to date; see `tui.following`. It raises nothing: the transcript says what is wrong."""
        await follow(self, meeting_id, transcript)

    async def _question(self, call: Any, request: Any, doing: str) -> Any:
        return await self._ask(call(request, timeout=_QUESTION_SECONDS), doing)

    async def _ask(self, call: Awaitable[T], doing: str) -> T:
        try:
            return await call
        except grpc.aio.AioRpcError as failure:
            raise self.refusal(failure, doing) from None


@asynccontextmanager
async def open_desk(connection: Connection, *, ascii_only: bool = False) -> AsyncIterator[Desk]:
    """Open a desk for the block; nobody is asked yet.

    Args:
        connection: which gateway.
        ascii_only: whether texts are transliterated for a terminal without Unicode.
    """
    async with open_channel(
        connection.target, api_key=connection.credential, tenant_id=connection.tenant or None, tls=connection.tls
    ) as channel:
        yield Desk(channel, connection, ascii_only=ascii_only)
