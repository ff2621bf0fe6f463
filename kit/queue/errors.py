"""Errors of the queue, and what a handler raises to steer its job."""

from kit.errors import AppError, FailedPrecondition, InvalidArgument, NotFound


class JobNotFound(NotFound):
    """No job with this id is in the queue."""

    reason = "ERROR_REASON_JOB_NOT_FOUND"


class QueueNotFound(NotFound):
    """This room works on no queue with this name."""

    reason = "ERROR_REASON_QUEUE_NOT_FOUND"


class JobStateChanged(FailedPrecondition):
    """The job is no longer in the state that the caller saw, or that state does not allow this.

    Its metadata are `jobId`, `expected` and `actual`.
    """

    reason = "ERROR_REASON_STATE_CHANGED"


class RequestIdReused(InvalidArgument):
    """The request_id came before, with another job."""

    reason = "ERROR_REASON_REQUEST_ID_REUSED"


class JobLost(Exception):
    """The job is another worker's by now: what its handler has done in this transaction must not be kept."""


class GiveUp(Exception):
    """Raised by a handler: trying again cannot help, the job is dead now. Its text is shown to operators."""


class Postpone(Exception):
    """Raised by a handler: try again later, and do not count this attempt (an open breaker, for example).

    Args:
        seconds: time until then.
        why: shown to operators.
    """

    def __init__(self, seconds: float, why: str = "") -> None:
        super().__init__(why)
        self.seconds = seconds


def describe(error: BaseException) -> str:
    """Name an error for operators: where it came from; its text only if we wrote it, others may quote speech."""
    if isinstance(error, AppError | GiveUp | Postpone):
        return f"{type(error).__name__}: {error}"[:500]
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" in {place.tb_frame.f_globals.get('__name__', '?')}:{place.tb_lineno}" if place is not None else ""
    return f"{type(error).__name__}{where}"
