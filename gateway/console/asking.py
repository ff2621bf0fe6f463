"""Calls to rooms on behalf of an operator: how long they may take, and how a room's refusal is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from kit.errors import PermissionDenied, Unauthenticated
from kit.rpc.status import error_of

_CALL_SECONDS = 20.0  # a recorder has 10 s to join, and the same to leave
_SHARE = 0.9  # of the caller's time; the rest is for the answer


def call_seconds(context: Any) -> float:
    """Return the time that a room gets."""
    remaining: float | None = context.time_remaining()
    return _CALL_SECONDS if remaining is None else min(_CALL_SECONDS, remaining * _SHARE)


@asynccontextmanager
async def refusals_passed_on() -> AsyncIterator[None]:
    """Let the caller learn that a room does not want it.

    A server's edge hides such answers of other rooms, which are about its own credentials; here they are about the
    caller's.

    Raises:
        Unauthenticated: a room does not know the caller.
        PermissionDenied: a room does not let it.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        problem = error_of(error)
        if problem.code is grpc.StatusCode.UNAUTHENTICATED:
            raise Unauthenticated(problem.message) from None
        if problem.code is grpc.StatusCode.PERMISSION_DENIED:
            raise PermissionDenied(problem.message) from None
        raise
