"""Why an operator's action was not carried out, and why a room cannot be asked."""

import grpc

from kit.errors import FailedPrecondition, InvalidArgument, NotFound
from kit.rpc.handshake import handshake_problem

_MAX_CHARACTERS = 200


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


def why_away(failure: grpc.aio.AioRpcError) -> str:
    """Say in a few words why a room's stream is not there."""
    match failure.code():
        case grpc.StatusCode.UNAVAILABLE:
            problem = handshake_problem(failure.details() or "")
            return f"cannot be reached: {problem}" if problem else "cannot be reached"
        case grpc.StatusCode.UNIMPLEMENTED:
            return "is of a release that does not tell this"
    return f"{failure.code().name}: {failure.details() or ''}"[:_MAX_CHARACTERS]
