"""Failures in the shape that OpenAI's clients read: `{"error": {"message", "type", "param", "code"}}`."""

import orjson
from starlette.responses import Response

from gateway.rest.problem import Problem

_TYPES = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "permission_denied"),
    404: ("invalid_request_error", "not_found"),
    413: ("invalid_request_error", "file_too_large"),
    415: ("invalid_request_error", "unsupported_media_type"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}


def refusal(problem: Problem) -> Response:
    """Return a problem as one of their errors; status and headers are the problem's own."""
    kind, code = _TYPES.get(problem.status, ("server_error" if problem.status >= 500 else "invalid_request_error", ""))
    error = {
        "message": problem.detail,
        "type": kind,
        "param": problem.metadata.get("field"),
        "code": code or problem.reason.removeprefix("ERROR_REASON_").lower() or None,
    }
    response = problem.response()
    headers = {
        name: value for name, value in response.headers.items() if name not in ("content-type", "content-length")
    }
    return Response(orjson.dumps({"error": error}), problem.status, headers, "application/json")
