"""Jobs as operators page through and mend them: the contract's checks before the room's source, a log line after it."""

from agent.ops.v1 import ops_service_pb2 as ops
from kit.auth.principal import current_principal
from kit.errors import InvalidArgument
from kit.ops.payloads import payload_text
from kit.ops.sources import JobOrder, JobRow, Jobs
from kit.rpc.pages import PageTokenInvalid, page_size, read_token, write_token
from kit.telemetry import logs

_STATES = ("ready", "waiting", "running", "done", "dead")
_MAX_REASON_CHARACTERS = 500
_MAX_REQUEST_ID_CHARACTERS = 128

log = logs.get()


async def list_jobs(jobs: Jobs, request: ops.ListJobsRequest) -> ops.ListJobsResponse:
    """Answer one page.

    Raises:
        InvalidArgument: the state is unknown, or the token is that of another question.
        NotFound: the room works on no such queue.
    """
    if request.state and request.state not in _STATES:
        raise InvalidArgument(f"is not one of {', '.join(_STATES)}", field="state")
    size = page_size(request.page_size)
    question = f"{request.queue}/{request.state}"
    before = _sequence(read_token(request.page_token, question)) if request.page_token else None
    rows = await jobs.page(request.queue, request.state, before, size + 1)
    token = write_token(question, str(rows[size - 1].sequence)) if len(rows) > size else ""
    return ops.ListJobsResponse(jobs=[_message(row) for row in rows[:size]], next_page_token=token)


async def requeue_job(jobs: Jobs, request: ops.RequeueJobRequest) -> ops.RequeueJobResponse:
    """Give a dead job another chance; raises as `Jobs.requeue`."""
    row = await jobs.requeue(_order(request))
    log.info("job_requeued", **_told(request), queue=row.queue, job_kind=row.kind, state=row.state)
    return ops.RequeueJobResponse(job=_message(row))


async def drop_job(jobs: Jobs, request: ops.DropJobRequest) -> ops.DropJobResponse:
    """Remove a job for good; raises as `Jobs.drop`."""
    row = await jobs.drop(_order(request))
    if row is not None:
        log.warning("job_dropped", **_told(request), queue=row.queue, job_kind=row.kind, last_error=row.last_error)
    return ops.DropJobResponse()


def _order(request: ops.RequeueJobRequest | ops.DropJobRequest) -> JobOrder:
    if not request.job_id:
        raise InvalidArgument("is empty", field="job_id")
    if request.expected_state not in _STATES:
        raise InvalidArgument(f"is not one of {', '.join(_STATES)}", field="expected_state")
    if len(request.reason) > _MAX_REASON_CHARACTERS:
        raise InvalidArgument(f"must have at most {_MAX_REASON_CHARACTERS} characters", field="reason")
    if len(request.request_id) > _MAX_REQUEST_ID_CHARACTERS:
        raise InvalidArgument(f"must have at most {_MAX_REQUEST_ID_CHARACTERS} characters", field="request_id")
    return JobOrder(request.job_id, request.expected_state, request.request_id, request.queue)


def _told(request: ops.RequeueJobRequest | ops.DropJobRequest) -> dict[str, str]:
    return {"job_id": request.job_id, "reason": request.reason, "subject": current_principal().subject}


def _sequence(position: str) -> int:
    try:
        return int(position)
    except ValueError:
        raise PageTokenInvalid from None


def _message(row: JobRow) -> ops.Job:
    message = ops.Job(
        job_id=row.id,
        queue=row.queue,
        kind=row.kind,
        key=row.key or "",
        state=row.state,
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        last_error=row.last_error,
        payload=payload_text(row.payload),
    )
    message.create_time.FromDatetime(row.create_time)
    return message
