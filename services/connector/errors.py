"""What a caller of the connector can act on.

NotFound             SessionNotFound
InvalidArgument      ProviderUnknown
Unavailable          ProviderFailed
FailedPrecondition   SessionElsewhere, ProviderDisabled
"""

from kit.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable


class SessionNotFound(NotFound):
    """No session for this meeting is visible to the caller."""

    reason = "ERROR_REASON_SESSION_NOT_FOUND"


class ProviderUnknown(InvalidArgument):
    """No provider of this name is installed."""

    reason = "ERROR_REASON_PROVIDER_UNKNOWN"


class ProviderDisabled(FailedPrecondition):
    """The provider is known and not switched on."""

    reason = "ERROR_REASON_PROVIDER_DISABLED"


class ProviderFailed(Unavailable):
    """The call could not be joined."""

    reason = "ERROR_REASON_PROVIDER_FAILED"


class SessionElsewhere(FailedPrecondition):
    """The recorder is in the call from another replica of the connector, which alone can take it out."""

    reason = "ERROR_REASON_STATE_CHANGED"
