"""What a caller of the report room can act on.

NotFound             MeetingNotFound, ArtifactNotFound, DeliveryNotFound
FailedPrecondition   ReportNotReady, MeetingNotEnded
InvalidArgument      StreamProtocolBroken, UnknownFormat, RequestIdReused
Unavailable          DeliveryFailed, to the queue only
"""

from collections.abc import Iterable

from kit.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable


class MeetingNotFound(NotFound):
    """No meeting with this id is visible to the caller."""

    reason = "ERROR_REASON_MEETING_NOT_FOUND"

    def __init__(self, meeting_id: str) -> None:
        super().__init__(meeting_id=meeting_id)


class ArtifactNotFound(NotFound):
    """The meeting has no artifact of this kind and format."""

    reason = "ERROR_REASON_ARTIFACT_NOT_FOUND"

    def __init__(self, kind: str, fmt: str, message: str = "") -> None:
        super().__init__(message, kind=kind, format=fmt)


class DeliveryNotFound(NotFound):
    """No delivery with this id is visible to the caller."""

    reason = "ERROR_REASON_DELIVERY_NOT_FOUND"

    def __init__(self, delivery_id: str) -> None:
        super().__init__(delivery_id=delivery_id)


class ReportNotReady(FailedPrecondition):
    """The report is not built yet; ask again after the stated time."""

    reason = "ERROR_REASON_REPORT_NOT_READY"

    def __init__(self, meeting_id: str, state: str) -> None:
        if state == "failed":
            super().__init__("the report could not be built; rebuild it", meeting_id=meeting_id, state=state)
        else:
            super().__init__(retry_after_seconds=2.0, meeting_id=meeting_id, state=state)


class MeetingNotEnded(FailedPrecondition):
    """A report is built when the meeting has ended and its text is settled."""

    reason = "ERROR_REASON_REPORT_NOT_READY"
    retry_after_seconds = 10.0

    def __init__(self, meeting_id: str, state: str) -> None:
        super().__init__(meeting_id=meeting_id, state=state)


class StreamProtocolBroken(InvalidArgument):
    """A message of the stream came out of order."""

    reason = "ERROR_REASON_STREAM_PROTOCOL"

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}", expected=expected, got=got)


class UnknownFormat(InvalidArgument):
    """There is no such kind or format; the message lists what there is."""

    def __init__(self, field: str, value: str, known: Iterable[str]) -> None:
        super().__init__(f"{value!r} is not one of {', '.join(known)}", field=field)


class RequestIdReused(InvalidArgument):
    """The request_id came before, with another meeting or delivery."""

    reason = "ERROR_REASON_REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        super().__init__(request_id=request_id)


class DeliveryFailed(Unavailable):
    """The receiver did not take the report now; what is said of it holds neither address nor content."""
