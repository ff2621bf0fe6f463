"""What a caller of the connector can act on.

NotFound             SessionNotFound, ParticipantNotFound, MeetingNotFound, PublicationNotFound
InvalidArgument      ProviderUnknown, OfferRejected
ResourceExhausted    PublicationsFull
Unavailable          ProviderFailed, ProviderBreakerOpen
FailedPrecondition   SessionElsewhere, ProviderDisabled, StateChanged, MeetingFinished
Aborted              OperationInProgress
"""

from kit.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted, Unavailable


class SessionNotFound(NotFound):
    """No session for this meeting is visible to the caller."""

    reason = "ERROR_REASON_SESSION_NOT_FOUND"


class ParticipantNotFound(NotFound):
    """Nobody of this id was in the call."""

    reason = "ERROR_REASON_PARTICIPANT_NOT_FOUND"


class ProviderUnknown(InvalidArgument):
    """No provider of this name is installed."""

    reason = "ERROR_REASON_PROVIDER_UNKNOWN"


class ProviderDisabled(FailedPrecondition):
    """The provider is known and not switched on."""

    reason = "ERROR_REASON_PROVIDER_DISABLED"


class ProviderFailed(Unavailable):
    """The call could not be joined."""

    reason = "ERROR_REASON_PROVIDER_FAILED"


class ProviderBreakerOpen(Unavailable):
    """The provider failed again and again and is left alone for a while."""

    reason = "ERROR_REASON_PROVIDER_BREAKER_OPEN"


class OperationInProgress(Aborted):
    """Another operation on the same meeting is under way."""

    reason = "ERROR_REASON_OPERATION_IN_PROGRESS"
    retry_after_seconds = 1.0


class SessionElsewhere(FailedPrecondition):
    """The recorder is in the call from another replica of the connector, which did not do as it was asked in time."""

    reason = "ERROR_REASON_STATE_CHANGED"


class StateChanged(FailedPrecondition):
    """It is in another state than the caller saw."""

    reason = "ERROR_REASON_STATE_CHANGED"


class MeetingNotFound(NotFound):
    """No meeting with this id is visible to the caller."""

    reason = "ERROR_REASON_MEETING_NOT_FOUND"


class MeetingFinished(FailedPrecondition):
    """The meeting has ended and takes no more audio."""

    reason = "ERROR_REASON_MEETING_FINISHED"


class PublicationNotFound(NotFound):
    """There is no such publication, or no longer."""

    reason = "ERROR_REASON_PUBLICATION_NOT_FOUND"


class OfferRejected(InvalidArgument):
    """The offer cannot be answered."""

    reason = "ERROR_REASON_OFFER_UNUSABLE"


class PublicationsFull(ResourceExhausted):
    """The meeting has as many publications as it may have."""
