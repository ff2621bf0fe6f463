"""What a caller of the ingest room can act on.

NotFound             MeetingNotFound, MeetingErased, AudioNotFound
InvalidArgument      StreamProtocolBroken, MessageTooLarge, TrackUnknown, AudioUndecodable, PageTokenInvalid,
                     ProviderUnknown
OutOfRange           SequenceGap, SampleGap
FailedPrecondition   MeetingFinished, RequestIdReused, AudioNotReady, ProviderDisabled
Aborted              EpochFenced
ResourceExhausted    DiskFull, TooManyRecordings
Unavailable          JournalFailed, Draining, MeetingElsewhere, Fenced, ProviderFailed, ConnectorAway
"""

from kit.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    ResourceExhausted,
    Unavailable,
)


class MeetingNotFound(NotFound):
    """No meeting with this id is visible to the caller."""

    reason = "ERROR_REASON_MEETING_NOT_FOUND"

    def __init__(self, meeting_id: str) -> None:
        super().__init__(meeting_id=meeting_id)


class MeetingErased(NotFound):
    """The meeting was erased; only a tombstone is left."""

    reason = "ERROR_REASON_MEETING_ERASED"

    def __init__(self, meeting_id: str) -> None:
        super().__init__(meeting_id=meeting_id)


class AudioNotFound(NotFound):
    """There is no recording: nobody was heard, it is not sealed yet, or it was erased."""

    reason = "ERROR_REASON_AUDIO_NOT_FOUND"

    def __init__(self, meeting_id: str, why: str = "", *, retry_after_seconds: float | None = None) -> None:
        super().__init__(why, retry_after_seconds=retry_after_seconds, meeting_id=meeting_id)


class AudioNotReady(FailedPrecondition):
    """The recording is put together when the meeting has ended."""

    reason = "ERROR_REASON_AUDIO_NOT_FOUND"
    retry_after_seconds = 10.0

    def __init__(self, meeting_id: str, state: str) -> None:
        super().__init__(meeting_id=meeting_id, state=state)


class MeetingFinished(FailedPrecondition):
    """The meeting has ended and takes no more audio."""

    reason = "ERROR_REASON_MEETING_FINISHED"

    def __init__(self, meeting_id: str) -> None:
        super().__init__(meeting_id=meeting_id)


class RequestIdReused(AlreadyExists):
    """The same request_id came with another request."""

    reason = "ERROR_REASON_REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        super().__init__(request_id=request_id)


class PageTokenInvalid(InvalidArgument):
    """The page token was not made by this server or for this query."""

    reason = "ERROR_REASON_INVALID_PAGE_TOKEN"


class StreamProtocolBroken(InvalidArgument):
    """A message of the stream came out of order."""

    reason = "ERROR_REASON_STREAM_PROTOCOL"

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}", expected=expected, got=got)


class SequenceGap(OutOfRange):
    """Messages are missing."""

    reason = "ERROR_REASON_SEQUENCE_GAP"

    def __init__(self, first: int, last: int) -> None:
        super().__init__(f"messages {first} to {last} are missing", **{"from": first, "to": last})


class EpochFenced(Aborted):
    """A newer connection of the same session took over."""

    reason = "ERROR_REASON_EPOCH_FENCED"

    def __init__(self, epoch: int, current: int) -> None:
        super().__init__(epoch=epoch, current=current)


class SampleGap(OutOfRange):
    """Audio of a track does not follow on from what came before."""

    reason = "ERROR_REASON_SAMPLE_GAP"

    def __init__(self, track: int, expected: int, got: int) -> None:
        super().__init__(
            f"track {track} goes on at sample {expected}, not {got}", track=track, expected=expected, got=got
        )


class MessageTooLarge(InvalidArgument):
    """A message is larger than the contract allows."""

    reason = "ERROR_REASON_TOO_LARGE"

    def __init__(self, message: str, limit: int) -> None:
        super().__init__(message, limit=limit)


class AudioUndecodable(InvalidArgument):
    """The audio cannot be decoded."""

    reason = "ERROR_REASON_AUDIO_UNDECODABLE"

    def __init__(self, detail: str) -> None:
        super().__init__(f"the audio cannot be decoded: {detail}", detail=detail)


class TrackUnknown(InvalidArgument):
    """The audio's track was never introduced, or has ended."""

    reason = "ERROR_REASON_TRACK_UNKNOWN"

    def __init__(self, track: int) -> None:
        super().__init__(f"track {track} was never introduced, or has ended", track=track)


class DiskFull(ResourceExhausted):
    """The disk that holds the journals is nearly full: no new session is taken."""

    reason = "ERROR_REASON_DISK_FULL"
    retry_after_seconds = 30.0


class JournalFailed(Unavailable):
    """The journal of the session cannot be written."""

    reason = "ERROR_REASON_JOURNAL_FAILED"
    retry_after_seconds = 1.0


class Draining(Unavailable):
    """The server is stopping; connect again, elsewhere if possible."""

    reason = "ERROR_REASON_DRAINING"
    retry_after_seconds = 0.5


class MeetingElsewhere(Unavailable):
    """The meeting is live at another replica that does not answer now; try again."""

    reason = "ERROR_REASON_MEETING_ELSEWHERE"
    retry_after_seconds = 1.0

    def __init__(self, meeting_id: str, owner: str) -> None:
        super().__init__(meeting_id=meeting_id, owner=owner)


class Fenced(MeetingElsewhere):
    """Another replica has taken the meeting up, or it is over; come back."""

    retry_after_seconds = 0.2

    def __init__(self, meeting_id: str) -> None:
        super().__init__(meeting_id, "")


class ProviderUnknown(InvalidArgument):
    """The connector has no provider of this name."""

    reason = "ERROR_REASON_PROVIDER_UNKNOWN"


class ProviderDisabled(FailedPrecondition):
    """The connector's provider for this link is not switched on; the message says what to set."""

    reason = "ERROR_REASON_PROVIDER_DISABLED"


class ProviderFailed(Unavailable):
    """The call could not be joined."""

    reason = "ERROR_REASON_PROVIDER_FAILED"


class ConnectorAway(Unavailable):
    """The connector does not answer."""

    retry_after_seconds = 5.0

    def __init__(self, message: str = "") -> None:
        super().__init__(message, dependency="connector")


class TooManyRecordings(ResourceExhausted):
    """So many quick recordings are under way that no other may begin."""

    reason = "ERROR_REASON_TOO_MANY_RECORDINGS"
    retry_after_seconds = 60.0

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} quick recordings are under way, which is the most at once", limit=most)
