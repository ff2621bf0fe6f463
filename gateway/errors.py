"""Errors that only HTTP knows; the rooms' own errors pass through as they are."""

from typing import ClassVar

from kit.errors import (
    AppError,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    OutOfRange,
    ResourceExhausted,
    Unavailable,
)


class HttpError(AppError):
    """An error with an HTTP status of its own."""

    http_status: ClassVar[int] = 500


class RouteNotFound(HttpError, NotFound):
    """Nothing is served at this path."""

    http_status = 404


class MethodNotAllowed(HttpError, InvalidArgument):
    """The path is known, but not with this method."""

    http_status = 405
    reason = "ERROR_REASON_UNSPECIFIED"

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"use {' or '.join(allowed)}", allowed=", ".join(allowed))
        self.allowed = allowed


class MediaTypeUnsupported(HttpError, InvalidArgument):
    """The body's media type is not one that this path takes."""

    http_status = 415
    reason = "ERROR_REASON_UNSPECIFIED"


class BodyTooLarge(HttpError, InvalidArgument):
    """The body is larger than this path takes."""

    http_status = 413
    reason = "ERROR_REASON_TOO_LARGE"


class BodyTooSlow(HttpError, DeadlineExceeded):
    """The body did not come in time."""

    http_status = 408


class RangeNotSatisfiable(HttpError, OutOfRange):
    """The file has none of the bytes that were asked for."""

    http_status = 416

    def __init__(self, size: int) -> None:
        super().__init__(f"the file has {size} bytes", size=size)
        self.size = size


class TooManyRequests(HttpError, ResourceExhausted):
    """The caller asks too often."""

    http_status = 429


class RoomAway(Unavailable):
    """The room that answers this cannot be reached now."""

    retry_after_seconds = 1.0


class ClientGone(Exception):
    """The client hung up before it was answered."""
