"""Errors: what they carry, and that they survive the wire."""

import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]

from kit.errors import AppError, InvalidArgument, NotFound, ResourceExhausted, Unimplemented
from kit.rpc.status import (
    DETAILS_KEY,
    RpcProblem,
    error_of,
    plain_status,
    status_of,
    to_status,
    worth_retrying,
)


class MeetingNotFound(NotFound):
    """No meeting with this id is visible to the caller.

    And more.
    """

    reason = "ERROR_REASON_MEETING_NOT_FOUND"


def on_the_wire(error: AppError) -> grpc.aio.AioRpcError:
    """Return what the client raises when a servicer raises `error`."""
    status = to_status(error)
    trailing = grpc.aio.Metadata(("x-other", "1"), (DETAILS_KEY, status.SerializeToString()))
    return grpc.aio.AioRpcError(error.code, grpc.aio.Metadata(), trailing, status.message)


def test_an_error_says_its_docstring_reason_and_metadata() -> None:
    assert error_of(on_the_wire(MeetingNotFound(meeting_id="x"))) == RpcProblem(
        grpc.StatusCode.NOT_FOUND,
        "ERROR_REASON_MEETING_NOT_FOUND",
        "No meeting with this id is visible to the caller.",
        {"meetingId": "x"},
    )


def test_an_error_says_when_to_come_back() -> None:
    problem = error_of(on_the_wire(ResourceExhausted("full", retry_after_seconds=1.5)))
    assert problem.retry_after_seconds == 1.5
    assert error_of(on_the_wire(ResourceExhausted("full"))).retry_after_seconds is None


def test_a_wrong_field_is_named_in_bad_request() -> None:
    status = to_status(InvalidArgument("is empty", field="title"))
    bad = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(bad)
    assert (bad.field_violations[0].field, bad.field_violations[0].description) == ("title", "is empty")


def test_a_reason_that_the_contract_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError, match="ERROR_REASON_MADE_UP"):

        class Wrong(NotFound):
            reason = "ERROR_REASON_MADE_UP"


def test_every_error_fits_the_contract() -> None:
    def tree(error: type[AppError]) -> list[type[AppError]]:
        return [error, *(leaf for child in error.__subclasses__() for leaf in tree(child))]

    # A room's errors, which other tests may have loaded, take what they tell of.
    ours = [error for error in tree(AppError) if error.__module__ == AppError.__module__]
    assert len(ours) > 10
    assert all(to_status(error("x")).code == error.code.value[0] for error in ours)
    assert to_status(Unimplemented(rpc="LivePull")).code == 12


def test_a_foreign_failure_has_no_reason() -> None:
    plain = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, details="no route")
    assert error_of(plain) == RpcProblem(grpc.StatusCode.UNAVAILABLE, "", "no route")
    torn = grpc.aio.Metadata((DETAILS_KEY, b"\xff\xff"))
    assert status_of(grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), torn)) is None
    other = grpc.aio.Metadata((DETAILS_KEY, plain_status(grpc.StatusCode.ABORTED, "").SerializeToString()))
    assert status_of(grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), other)) is None


def test_only_some_failures_are_worth_another_try() -> None:
    def failed(code: grpc.StatusCode, details: str = "") -> grpc.aio.AioRpcError:
        return grpc.aio.AioRpcError(code, details=details)

    assert worth_retrying(failed(grpc.StatusCode.UNAVAILABLE))
    assert worth_retrying(failed(grpc.StatusCode.INTERNAL, "Internal error from Core"))
    assert worth_retrying(asyncio.InvalidStateError())
    assert not worth_retrying(failed(grpc.StatusCode.INTERNAL, "internal error"))
    assert not worth_retrying(failed(grpc.StatusCode.NOT_FOUND))
    assert not worth_retrying(ValueError())
