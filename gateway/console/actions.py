"""What an operator can do from the console: each action is one call to the room that decides about it.

The rooms are asked with the operator's own credentials, so that their rules and their audit trails see a person and
not the gateway.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc

from agent.connector.v1 import connector_service_pb2 as connector
from agent.connector.v1.connector_service_pb2_grpc import ConnectorServiceStub
from agent.console.v1 import console_service_pb2 as pb
from agent.ingest.v1 import meeting_service_pb2 as meetings
from agent.ingest.v1.meeting_service_pb2_grpc import MeetingServiceStub
from agent.ops.v1 import ops_service_pb2 as ops
from agent.report.v1 import report_service_pb2 as reports
from agent.report.v1.report_service_pb2_grpc import ReportServiceStub
from gateway import credentials
from gateway.admin.asking import Rooms
from gateway.console.asking import call_seconds, refusals_passed_on
from gateway.console.board import Board
from gateway.console.errors import DeliveryNotFound, StateChanged
from kit.errors import InvalidArgument

_NOT_HERE = frozenset({grpc.StatusCode.NOT_FOUND})
_ROOM_BREAKERS = ("stt.",)
"""Breakers with these names belong to a room that closes them by itself."""
_PROVIDER_BREAKERS = "connector."
"""What stands before a provider's name in the name of its breaker."""

Act = Callable[[pb.RunActionRequest, Any], Awaitable[str]]


class Actions:
    """Carries out actions.

    Args:
        channels: to the rooms, without credentials of our own.
        board: knows the states that operators see.
    """

    def __init__(self, channels: Mapping[str, grpc.aio.Channel], board: Board) -> None:
        self._rooms = Rooms(channels)
        self._connector: Any = ConnectorServiceStub(channels["connector"])
        self._meetings: Any = MeetingServiceStub(channels["ingest"])
        self._reports: Any = ReportServiceStub(channels["report"])
        self._board = board
        self._acts: Mapping[str, Act] = {
            "session.join": self._join,
            "session.leave": self._leave,
            "session.reconnect": self._reconnect,
            "connector.reconcile": self._reconcile,
            "connector.live_pull": self._live_pull,
            "breaker.reset": self._reset,
            "job.requeue": self._requeue,
            "job.drop": self._drop,
            "delivery.retry": self._redeliver,
            "report.rebuild": self._rebuild,
        }

    async def run(self, request: pb.RunActionRequest, context: Any) -> str:
        """Carry out one action and say in a sentence what came of it.

        Raises:
            InvalidArgument: there is no such action, or the target is not one of its targets.
            StateChanged: it is in another state than the operator saw.
            AppError: the room refused.
        """
        act = self._acts.get(request.action)
        if act is None:
            raise InvalidArgument(f"is one of {', '.join(self._acts)}", field="action")
        async with refusals_passed_on():
            return await act(request, context)

    async def _join(self, request: pb.RunActionRequest, context: Any) -> str:
        meeting_id = _target(request)
        self._same_session(request)
        asked = connector.JoinRequest(
            meeting_id=meeting_id, provider=request.provider, request_id=f"console-{request.request_id}"
        )
        session = (await self._connector.Join(asked, **_call(context))).session
        return f"The recorder is joining {meeting_id} through {session.provider}."

    async def _leave(self, request: pb.RunActionRequest, context: Any) -> str:
        meeting_id = _target(request)
        self._same_session(request)
        asked = connector.LeaveRequest(meeting_id=meeting_id, provider=request.provider, reason=request.reason)
        session = (await self._connector.Leave(asked, **_call(context))).session
        return f"The recorder has left {meeting_id}; its session is {_state(session)}."

    async def _reconnect(self, request: pb.RunActionRequest, context: Any) -> str:
        meeting_id = _target(request)
        self._same_session(request)
        asked = connector.ReconnectRequest(meeting_id=meeting_id, provider=request.provider, reason=request.reason)
        session = (await self._connector.Reconnect(asked, **_call(context))).session
        return f"The recorder leaves {meeting_id} and joins again; its session is {_state(session)}."

    async def _reconcile(self, request: pb.RunActionRequest, context: Any) -> str:
        _stateless(request)
        asked = connector.ReconcileRequest(provider=request.target)
        done = await self._connector.Reconcile(asked, **_call(context))
        return (
            f"Looked at {done.scanned} sessions: {done.rejoined} rejoined, {done.failed} could not be; "
            f"{done.breakers_reset} breakers closed."
        )

    async def _live_pull(self, request: pb.RunActionRequest, context: Any) -> str:
        _stateless(request)
        asked = connector.LivePullRequest(provider=request.target)
        done = await self._connector.LivePull(asked, **_call(context))
        return (
            f"Looked at {done.scanned} sessions: {done.ingested} chunks stored, {done.duplicates} known already, "
            f"{done.failed} sessions failed."
        )

    async def _reset(self, request: pb.RunActionRequest, context: Any) -> str:
        name = _target(request)
        if name.startswith(_ROOM_BREAKERS):
            raise InvalidArgument("is a breaker that closes by itself; those of providers can be reset", field="target")
        asked = connector.ResetCircuitBreakerRequest(
            provider=name.removeprefix(_PROVIDER_BREAKERS),
            reason=request.reason,
            expected_state=request.expected_state,
        )
        breaker = (await self._connector.ResetCircuitBreaker(asked, **_call(context))).breaker
        return f"The breaker of {name} is {breaker.state}."

    async def _requeue(self, request: pb.RunActionRequest, context: Any) -> str:
        queue, job_id = _pair(request, "<queue>/<job_id>")
        asked = ops.RequeueJobRequest(
            queue=queue,
            job_id=job_id,
            expected_state=request.expected_state,
            reason=request.reason,
            request_id=request.request_id,
        )
        job = (await self._rooms.first("RequeueJob", asked, context, passing=_NOT_HERE)).job
        return f"Job {job_id} of {job.queue} is {job.state} again."

    async def _drop(self, request: pb.RunActionRequest, context: Any) -> str:
        queue, job_id = _pair(request, "<queue>/<job_id>")
        asked = ops.DropJobRequest(
            queue=queue,
            job_id=job_id,
            expected_state=request.expected_state,
            reason=request.reason,
            request_id=request.request_id,
        )
        await self._rooms.first("DropJob", asked, context, passing=_NOT_HERE)
        return f"Job {job_id} of {queue} is gone."

    async def _redeliver(self, request: pb.RunActionRequest, context: Any) -> str:
        meeting_id, delivery_id = _pair(request, "<meeting_id>/<delivery_id>")
        if request.expected_state:
            known = await self._reports.ListDeliveries(
                reports.ListDeliveriesRequest(meeting_id=meeting_id), **_call(context)
            )
            states = {delivery.delivery_id: delivery.state for delivery in known.deliveries}
            if delivery_id not in states:
                raise DeliveryNotFound(meeting_id=meeting_id, delivery_id=delivery_id)
            _same(delivery_id, request.expected_state, states[delivery_id])
        asked = reports.RedeliverRequest(
            meeting_id=meeting_id, delivery_id=delivery_id, request_id=f"console-{request.request_id}"
        )
        delivery = (await self._reports.Redeliver(asked, **_call(context))).delivery
        return f"The delivery over {delivery.channel} is {delivery.state} again."

    async def _rebuild(self, request: pb.RunActionRequest, context: Any) -> str:
        meeting_id = _target(request)
        if request.expected_state:
            known = await self._meetings.GetMeeting(meetings.GetMeetingRequest(meeting_id=meeting_id), **_call(context))
            _same(meeting_id, request.expected_state, known.meeting.report_state)
        asked = reports.RebuildReportRequest(meeting_id=meeting_id, request_id=f"console-{request.request_id}")
        job_id = (await self._reports.RebuildReport(asked, **_call(context))).job_id
        return f"The report of {meeting_id} is being built again as job {job_id}."

    def _same_session(self, request: pb.RunActionRequest) -> None:
        """Refuse when the operator saw another state: what is compared is what the console shows."""
        if request.expected_state:
            _same(request.target, request.expected_state, self._board.session_state(request.target))


def _same(target: str, expected: str, actual: str) -> None:
    if expected != actual:
        raise StateChanged(target, expected, actual)


def _stateless(request: pb.RunActionRequest) -> None:
    if request.expected_state:
        raise InvalidArgument("must be empty: the connector as a whole has no state", field="expected_state")


def _target(request: pb.RunActionRequest) -> str:
    if not request.target:
        raise InvalidArgument("is empty", field="target")
    return request.target


def _pair(request: pb.RunActionRequest, form: str) -> tuple[str, str]:
    first, _, second = _target(request).partition("/")
    if not (first and second):
        raise InvalidArgument(f"has the form {form}", field="target")
    return first, second


def _call(context: Any) -> dict[str, Any]:
    return {"metadata": credentials.passed_on(context), "timeout": call_seconds(context)}


def _state(session: connector.Session) -> str:
    return connector.SessionState.Name(session.state).removeprefix("SESSION_STATE_").lower()
