"""Errors as problem documents (RFC 9457): google.rpc.Status and our own errors to one JSON shape."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import HttpError, MethodNotAllowed, RangeNotSatisfiable, RoomAway, RouteNotFound
from kit.errors import AppError
from kit.rpc.status import RpcProblem, error_of
from kit.telemetry import trace_context

MEDIA_TYPE = "application/problem+json"

_INTERNAL = "internal error"
_NO_REASON = "ERROR_REASON_UNSPECIFIED"
_HTTP: Mapping[grpc.StatusCode, tuple[int, str]] = {
    grpc.StatusCode.CANCELLED: (499, "Cancelled"),
    grpc.StatusCode.UNKNOWN: (500, "Internal error"),
    grpc.StatusCode.INVALID_ARGUMENT: (400, "Invalid request"),
    grpc.StatusCode.DEADLINE_EXCEEDED: (504, "Took too long"),
    grpc.StatusCode.NOT_FOUND: (404, "Not found"),
    grpc.StatusCode.ALREADY_EXISTS: (409, "Already exists"),
    grpc.StatusCode.PERMISSION_DENIED: (403, "Not allowed"),
    grpc.StatusCode.UNAUTHENTICATED: (401, "Credentials needed"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (429, "No room now"),
    grpc.StatusCode.FAILED_PRECONDITION: (400, "Not in this state"),
    grpc.StatusCode.ABORTED: (409, "Lost a race"),
    grpc.StatusCode.OUT_OF_RANGE: (400, "Out of range"),
    grpc.StatusCode.UNIMPLEMENTED: (501, "Not in this release"),
    grpc.StatusCode.INTERNAL: (500, "Internal error"),
    grpc.StatusCode.UNAVAILABLE: (503, "Not available now"),
    grpc.StatusCode.DATA_LOSS: (500, "Internal error"),
}
_TITLES = {
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    410: "Erased",
    413: "Too large",
    415: "Unsupported media type",
    416: "No such range",
    429: "Too many requests",
}


@dataclass(frozen=True)
class Problem:
    """A failure as an HTTP client sees it. `reason` is a value of the contract's ErrorReason, or empty."""

    status: int
    title: str
    detail: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_after_seconds: float | None = None
    allowed: tuple[str, ...] = ()
    size: int | None = None
    """Bytes of the file of which a part was asked for that is not there."""

    def document(self) -> dict[str, Any]:
        """Return the JSON document, with the trace of the present task."""
        position = trace_context.current()
        slug = self.reason.removeprefix("ERROR_REASON_").lower().replace("_", "-")
        return {
            "type": f"urn:agent:error:{slug}" if slug else "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
            "metadata": dict(self.metadata),
            "trace_id": position.trace_id if position else "",
        }

    def response(self) -> Response:
        """Return the HTTP response."""
        headers = {"cache-control": "no-store"}
        if self.retry_after_seconds is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.retry_after_seconds)))
        if self.allowed:
            headers["allow"] = ", ".join(self.allowed)
        if self.size is not None:
            headers["content-range"] = f"bytes */{self.size}"
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return Response(orjson.dumps(self.document()), self.status, headers, MEDIA_TYPE)


def of_error(error: AppError) -> Problem:
    """Return the problem that one of our own errors is."""
    status, title = _HTTP.get(error.code, (500, "Internal error"))
    if isinstance(error, HttpError):
        status, title = error.http_status, _TITLES[error.http_status]
    reason = "" if error.reason == _NO_REASON else error.reason
    allowed = error.allowed if isinstance(error, MethodNotAllowed) else ()
    size = error.size if isinstance(error, RangeNotSatisfiable) else None
    return Problem(status, title, error.message, reason, error.metadata, error.retry_after_seconds, allowed, size)


def of_call(error: grpc.aio.AioRpcError, room: str) -> Problem:
    """Return the problem that a failed call to `room` is.

    A failure that did not come from the room itself (it is away, say) names the room and none of our addresses.
    """
    return of_rpc_problem(error_of(error), room)


def of_rpc_problem(rpc: RpcProblem, room: str) -> Problem:
    """Return the problem for a failed call whose status was read already."""
    status, title = _HTTP[rpc.code]
    if rpc.code is grpc.StatusCode.UNAVAILABLE and not rpc.reason:
        return of_error(RoomAway(f"{room} cannot be reached now", dependency=room))
    if status == 500:
        return Problem(status, title, _INTERNAL)
    if rpc.reason == "ERROR_REASON_TOO_LARGE":
        status, title = 413, _TITLES[413]
    if rpc.reason == "ERROR_REASON_MEETING_ERASED":
        status, title = 410, _TITLES[410]
    reason = "" if rpc.reason == _NO_REASON else rpc.reason
    detail = rpc.message or title
    if rpc.code is grpc.StatusCode.DEADLINE_EXCEEDED and not reason:
        detail = f"{room} did not answer in time"
    return Problem(status, title, detail, reason, rpc.metadata, rpc.retry_after_seconds)


async def answer_framework(request: Request, error: Exception) -> Response:
    """Answer what the framework itself refuses, a page's wrong method say, as everything else is refused."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = (error.headers if isinstance(error, HTTPException) else None) or {}
    if status == MethodNotAllowed.http_status:
        return of_error(MethodNotAllowed(tuple(headers.get("Allow", "GET").split(", ")))).response()
    if status == RouteNotFound.http_status:
        return of_error(RouteNotFound()).response()
    return internal().response()


def internal() -> Problem:
    """Return what the outside learns about a bug."""
    return Problem(500, "Internal error", _INTERNAL)
