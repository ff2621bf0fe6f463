"""Why an operator's action was not carried out."""

from kit.errors import FailedPrecondition, InvalidArgument, NotFound


class StateChanged(FailedPrecondition):
    """It is in another state than the operator saw. Its metadata are `target`, `expected` and `actual`."""

    reason = "ERROR_REASON_STATE_CHANGED"

    def __init__(self, target: str, expected: str, actual: str) -> None:
        super().__init__(
            f"{target} is {actual or 'gone'} by now, not {expected}", target=target, expected=expected, actual=actual
        )


class DeliveryNotFound(NotFound):
    """The meeting has no delivery with this id."""


class RequestIdReused(InvalidArgument):
    """The request_id came before, with another action."""

    reason = "ERROR_REASON_REQUEST_ID_REUSED"
