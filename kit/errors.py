"""Errors that a caller can act on, one tree for every edge (gRPC status, problem+json, console).

    AppError
    ├── InvalidArgument      the request is wrong whatever the state
    ├── OutOfRange           a position is beyond what is there
    ├── Unauthenticated      no credentials, or unknown ones
    ├── PermissionDenied     known, but not allowed
    ├── NotFound             not there, or not the caller's
    ├── AlreadyExists        there already
    ├── FailedPrecondition   not in this state
    ├── Aborted              lost a race; start the whole exchange again
    ├── ResourceExhausted    no room now; retry later
    ├── Unavailable          a part cannot be reached now; retry later
    ├── DeadlineExceeded     took too long
    └── Unimplemented        in the contract, not in this release

Anything else that leaves a handler is a bug and reads "internal error" outside.
"""

import inspect
from typing import ClassVar

import grpc

from agent.common.v1.error_reason_pb2 import ErrorReason


class AppError(Exception):
    """An error with a status code, a reason of the contract and metadata.

    Args:
        message: one sentence for the developer at the other end; the class docstring's first line if empty.
        retry_after_seconds: when the call is worth repeating; the class's own if None.
        metadata: facts for programs, `meeting_id="x"` goes out as `{"meetingId": "x"}`.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    reason: ClassVar[str] = "ERROR_REASON_UNSPECIFIED"
    retry_after_seconds: float | None = None

    def __init__(self, message: str = "", *, retry_after_seconds: float | None = None, **metadata: object) -> None:
        self.message = message or inspect.cleandoc(type(self).__doc__ or "").partition("\n")[0]
        super().__init__(self.message)
        if retry_after_seconds is not None:
            self.retry_after_seconds = retry_after_seconds
        self.metadata = {_camel(key): str(value) for key, value in metadata.items()}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.reason not in ErrorReason.keys():  # noqa: SIM118 - an enum wrapper, not a dict
            raise TypeError(f"{cls.__name__}.reason {cls.reason!r} is not in agent.common.v1.ErrorReason")


class InvalidArgument(AppError):
    """The request is wrong. Name the field: `InvalidArgument("is empty", field="title")`."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "ERROR_REASON_INVALID_FIELD"


class OutOfRange(AppError):
    """The position is beyond what is there."""

    code = grpc.StatusCode.OUT_OF_RANGE


class Unauthenticated(AppError):
    """The credentials are missing or not known."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "ERROR_REASON_UNAUTHENTICATED"


class PermissionDenied(AppError):
    """The caller may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED
    reason = "ERROR_REASON_PERMISSION_DENIED"


class NotFound(AppError):
    """Nothing with this id is visible to the caller."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(AppError):
    """It exists already."""

    code = grpc.StatusCode.ALREADY_EXISTS


class FailedPrecondition(AppError):
    """This cannot be done in the present state."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "ERROR_REASON_STATE_CHANGED"


class Aborted(AppError):
    """Another caller was faster; start again."""

    code = grpc.StatusCode.ABORTED
    reason = "ERROR_REASON_STATE_CHANGED"


class ResourceExhausted(AppError):
    """There is no room for this now; retry later."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(AppError):
    """A part that the call needs cannot be reached now; retry later."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "ERROR_REASON_DEPENDENCY_UNAVAILABLE"


class DeadlineExceeded(AppError):
    """The call took longer than its deadline."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Unimplemented(AppError):
    """This RPC is part of the contract but not of this release."""

    code = grpc.StatusCode.UNIMPLEMENTED
    reason = "ERROR_REASON_UNIMPLEMENTED"


def _camel(key: str) -> str:
    head, *rest = key.split("_")
    return head + "".join(part.capitalize() for part in rest)
