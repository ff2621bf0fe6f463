"""The audit trail as operators page through it, and as rooms without a database write to it."""

from datetime import UTC, datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from agent.ops.v1 import ops_service_pb2 as ops
from kit.audit.chain import RETENTION_METHOD, ChainedDecision
from kit.audit.decision import Decision
from kit.errors import InvalidArgument
from kit.ops.sources import AuditLog, AuditQuestion
from kit.rpc.pages import PageTokenInvalid, page_size, read_token, write_token

_OUTCOMES = ("allow", "deny")
_MAX_EVENTS = 1000


async def list_audit_events(trail: AuditLog, request: ops.ListAuditEventsRequest) -> ops.ListAuditEventsResponse:
    """Answer one page.

    Raises:
        InvalidArgument: the outcome or a time is none, or the token is that of another question.
        Unimplemented: the room keeps no trail.
    """
    if request.outcome and request.outcome not in _OUTCOMES:
        raise InvalidArgument(f"is not one of {', '.join(_OUTCOMES)}", field="outcome")
    size = page_size(request.page_size)
    asked = AuditQuestion(
        request.outcome,
        request.subject,
        request.endpoint,
        _time(request, "start_time"),
        _time(request, "end_time"),
    )
    question = "|".join(
        [asked.outcome, asked.subject, asked.endpoint, *(str(moment or "") for moment in (asked.start, asked.end))]
    )
    before = _sequence(read_token(request.page_token, question)) if request.page_token else None
    rows = await trail.page(asked, before, size + 1)
    token = write_token(question, str(rows[size - 1].sequence)) if len(rows) > size else ""
    return ops.ListAuditEventsResponse(events=[_message(row) for row in rows[:size]], next_page_token=token)


async def record_audit(trail: AuditLog, request: ops.RecordAuditRequest) -> ops.RecordAuditResponse:
    """Write decisions of another room to the trail.

    Raises:
        InvalidArgument: there are too many, or one says neither "allow" nor "deny", or when.
        Unimplemented: the room keeps no trail.
    """
    if len(request.events) > _MAX_EVENTS:
        raise InvalidArgument(f"holds at most {_MAX_EVENTS}", field="events")
    await trail.append([_decision(event) for event in request.events])
    return ops.RecordAuditResponse()


def audit_event(decision: Decision) -> ops.AuditEvent:
    """Return the message for a decision that has no place in the trail yet."""
    event = ops.AuditEvent(
        outcome=decision.outcome,
        endpoint=decision.endpoint,
        method=decision.method,
        subject=decision.subject,
        auth_type=decision.auth_type,
        reason=decision.reason,
        tenant_id=decision.tenant_id,
    )
    event.time.FromDatetime(decision.time)
    return event


def _message(row: ChainedDecision) -> ops.AuditEvent:
    event = audit_event(row.decision)
    event.sequence, event.prev_hash, event.hash = row.sequence, row.prev_hash, row.hash
    return event


def _decision(event: ops.AuditEvent) -> Decision:
    time = _time(event, "time")
    if time is None:
        raise InvalidArgument("is empty", field="events.time")
    if event.outcome not in ("allow", "deny"):
        raise InvalidArgument(f"is not one of {', '.join(_OUTCOMES)}", field="events.outcome")
    if event.method == RETENTION_METHOD:
        raise InvalidArgument("is the trail's own", field="events.method")
    return Decision(
        "allow" if event.outcome == "allow" else "deny",
        event.endpoint,
        event.method,
        event.subject,
        event.auth_type,
        event.reason,
        event.tenant_id,
        time,
    )


def _time(message: Message, field: str) -> datetime | None:
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidArgument("is not a time", field=field) from error


def _sequence(position: str) -> int:
    try:
        return int(position)
    except ValueError:
        raise PageTokenInvalid from None
