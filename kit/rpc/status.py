"""Errors on the wire: AppError <-> google.rpc.Status with one ErrorInfo, RetryInfo and BadRequest where they help."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, TypeAlias, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from kit.errors import AppError, InvalidArgument
from kit.rpc.handshake import handshake_problem

Status: TypeAlias = status_pb2.Status
DOMAIN = "agent"
DETAILS_KEY = "grpc-status-details-bin"

_MAX_MESSAGE_CHARACTERS = 1024  # a status travels in an HTTP/2 header

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class RpcProblem:
    """A failed call as the caller sees it. `reason` is empty when the failure did not come from one of our rooms."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_after_seconds: float | None = None


def to_status(error: AppError) -> Status:
    """Return the status that tells a caller about `error`."""
    message = error.message[:_MAX_MESSAGE_CHARACTERS]
    status = Status(code=error.code.value[0], message=message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))
    if error.retry_after_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error.retry_after_seconds * 1000))
        status.details.add().Pack(retry)
    if isinstance(error, InvalidArgument) and "field" in error.metadata:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.metadata["field"], description=message)
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    return status


def plain_status(code: grpc.StatusCode, message: str) -> Status:
    """Return a status without details."""
    return Status(code=code.value[0], message=message)


def internal_status() -> Status:
    """Return what the outside learns about a bug."""
    return plain_status(grpc.StatusCode.INTERNAL, "internal error")


class Abortable(Protocol):
    """What a handler's context can do here."""

    def trailing_metadata(self) -> Any:
        """Return the trailing metadata set so far."""

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: Any, /) -> Any:
        """End the RPC; raises."""


async def abort(context: Abortable, error: AppError) -> NoReturn:
    """End an RPC with `error`; raising the error in a servicer does the same."""
    await abort_with(context, to_status(error))


async def abort_with(context: Abortable, status: Status) -> NoReturn:
    """End an RPC with `status`, keeping the trailing metadata that is set already."""
    kept = [(key, value) for key, value in context.trailing_metadata() or () if key != DETAILS_KEY]
    trailing = (*kept, (DETAILS_KEY, status.SerializeToString()))
    await context.abort(code_of(status), status.message, trailing)
    raise AssertionError("abort returned")


def error_of(error: grpc.aio.AioRpcError) -> RpcProblem:
    """Return what a failed call says, with our reason and metadata where a room of ours sent them."""
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        problem = handshake_problem(details)
        details = f"no connection: {problem}" if problem else details
    return problem_of(code, details, status_of(error))


def worth_retrying(error: BaseException) -> bool:
    """Return whether a call that failed with `error` may succeed when made again, at another replica or later.

    A write that races with the server's status turns the status into INTERNAL "Internal error from Core" or into an
    InvalidStateError (grpc#36066): what the server said is lost, and asking again is the only way to learn it.
    """
    if isinstance(error, grpc.aio.AioRpcError):
        lost = error.code() is grpc.StatusCode.INTERNAL and "Internal error from Core" in (error.details() or "")
        return lost or error.code() in _RETRYABLE
    return isinstance(error, asyncio.InvalidStateError)


def status_of(error: grpc.aio.AioRpcError) -> Status | None:
    """Return the rich status of a failed call, None if it has none that agrees with its code."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                status = Status.FromString(value)
            except DecodeError:
                return None
            return status if status.code == error.code().value[0] else None
    return None


def problem_of(code: grpc.StatusCode, message: str, status: Status | None) -> RpcProblem:
    """Return the problem that a code, a message and (maybe) a rich status describe."""
    reason, retry_after = "", None
    metadata: dict[str, str] = {}
    if status is not None:
        for info in _unpack(status, error_details_pb2.ErrorInfo):
            if info.domain == DOMAIN:
                reason, metadata = info.reason, dict(info.metadata)
        for retry in _unpack(status, error_details_pb2.RetryInfo):
            retry_after = retry.retry_delay.ToMilliseconds() / 1000
    return RpcProblem(code, reason, message, metadata, retry_after)


def code_of(status: Status) -> grpc.StatusCode:
    """Return the gRPC code of a rich status."""
    return _CODES.get(status.code, grpc.StatusCode.UNKNOWN)


_RETRYABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _unpack(status: Status, kind: type[M]) -> Iterator[M]:
    for detail in status.details:
        if detail.Is(kind.DESCRIPTOR):
            message = kind()
            detail.Unpack(message)
            yield message
