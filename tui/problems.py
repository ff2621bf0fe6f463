"""What a failed call to the gateway means, and what to do about it."""

from collections.abc import Callable

import grpc

from kit.auth.keys import is_token
from kit.rpc.handshake import handshake_problem
from kit.rpc.status import error_of
from tui.connection import Connection
from tui.errors import ConsoleError, KeyNotAccepted, KeyNotAllowed, NotTheGateway, Refused, Unreachable


def problem_of(failure: grpc.aio.AioRpcError, connection: Connection, clean: Callable[[str], str]) -> ConsoleError:
    """Turn a failed call into a sentence. What the other end says passes `clean`."""
    problem, target = error_of(failure), clean(connection.target)
    origin, said = clean(connection.key_origin), clean(problem.message).rstrip(".")
    again = "it is taken up at once" if connection.key_file is not None else "then start again"
    match problem.code:
        case grpc.StatusCode.UNAUTHENTICATED if connection.key is None:
            return KeyNotAccepted(
                f"The gateway at {target} wants a key and none was given. "
                "Set SERVICE_API_KEYS or pass --key-file FILE, then start again."
            )
        case grpc.StatusCode.UNAUTHENTICATED if is_token(connection.present_key()):
            return KeyNotAccepted(
                f"The gateway at {target} does not accept the token from {origin}: {said or 'it is not valid'}. "
                f"Get a new one there, {again}."
            )
        case grpc.StatusCode.UNAUTHENTICATED:
            return KeyNotAccepted(
                f"The gateway at {target} does not know the key from {origin}. "
                f"Give it one of its SERVICE_API_KEYS, {again}."
            )
        case grpc.StatusCode.PERMISSION_DENIED if connection.tenant and "tenant" in said:
            return KeyNotAllowed(
                f"The key from {origin} may not act for tenant {connection.tenant}: {said}. "
                "Start again without --tenant, or with a key that may."
            )
        case grpc.StatusCode.PERMISSION_DENIED:
            return KeyNotAllowed(
                f"The key from {origin} may not watch the mesh at {target}. "
                f"Use a service key (SERVICE_API_KEYS), not a user key, {again}."
            )
        case grpc.StatusCode.UNIMPLEMENTED | grpc.StatusCode.INVALID_ARGUMENT:
            return NotTheGateway(
                f"What answers at {target} is not a gateway of this version. "
                "Check --target (the gateway's gRPC port, 8011 by default), then start again."
            )
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.DEADLINE_EXCEEDED:
            unsafe = handshake_problem(failure.details() or "")
            return Unreachable.unsafe(target, unsafe) if unsafe else Unreachable(target)
    return ConsoleError(f"The gateway at {target} failed: {problem.code.name} {said}".rstrip(), why=problem.code.name)


def refusal_of(
    failure: grpc.aio.AioRpcError, connection: Connection, clean: Callable[[str], str], *, doing: str
) -> ConsoleError:
    """Turn a failed question or action into a sentence.

    Args:
        failure: what the call ended with.
        connection: to which gateway it went.
        clean: makes what the other end says harmless.
        doing: what was tried, for example "drop this job".
    """
    problem = error_of(failure)
    said = clean(problem.message).rstrip(".")
    match problem.code:
        case grpc.StatusCode.PERMISSION_DENIED:
            return KeyNotAllowed(f"This key may not {doing}: {said}. Use one that may act (scope agent.admin.write).")
        case grpc.StatusCode.UNAVAILABLE if problem.reason:  # the gateway answers, a room behind it does not
            return Unreachable.room(f"Cannot {doing} now: {said}. Try again in a moment.")
        case grpc.StatusCode.DEADLINE_EXCEEDED if problem.reason or said:
            return Unreachable.room(f"Could not {doing} in time: {said}. Look what came of it before trying again.")
        case grpc.StatusCode.FAILED_PRECONDITION if problem.reason == "ERROR_REASON_STATE_CHANGED":
            actual = clean(problem.metadata.get("actual", ""))
            now = f" It is {actual} now." if actual and actual not in said else ""
            return Refused(f"Did not {doing}: {said}.{now} Nothing was changed.")
        case grpc.StatusCode.UNIMPLEMENTED if problem.reason:
            return Refused(f"Cannot {doing}: no room of this mesh does that.")
        case grpc.StatusCode.INVALID_ARGUMENT if problem.reason:
            field = clean(problem.metadata.get("field", ""))
            return Refused(f"Cannot {doing}: {f'{field} ' if field else ''}{said}.")
        case (
            grpc.StatusCode.NOT_FOUND
            | grpc.StatusCode.FAILED_PRECONDITION
            | grpc.StatusCode.ABORTED
            | grpc.StatusCode.RESOURCE_EXHAUSTED
        ):
            return Refused(f"Cannot {doing}: {said}.")
    return problem_of(failure, connection, clean)
