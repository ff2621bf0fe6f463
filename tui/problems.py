"""What a failed call to the gateway means, and what to do about it."""

from collections.abc import Callable

import grpc

from kit.rpc.status import error_of
from tui.connection import Connection
from tui.errors import ConsoleError, KeyNotAccepted, KeyNotAllowed, NotTheGateway, Unreachable


def problem_of(failure: grpc.aio.AioRpcError, connection: Connection, clean: Callable[[str], str]) -> ConsoleError:
    """Turn a failed call into a sentence. What the other end says passes `clean`."""
    problem, target = error_of(failure), clean(connection.target)
    match problem.code:
        case grpc.StatusCode.UNAUTHENTICATED if connection.key is None:
            return KeyNotAccepted(
                f"The gateway at {target} wants a key and none was given. "
                "Set SERVICE_API_KEYS or pass --key-file FILE, then start again."
            )
        case grpc.StatusCode.UNAUTHENTICATED:
            return KeyNotAccepted(
                f"The gateway at {target} does not know the key from {connection.key_origin}. "
                "Give it one of its SERVICE_API_KEYS, then start again."
            )
        case grpc.StatusCode.PERMISSION_DENIED:
            return KeyNotAllowed(
                f"The key from {connection.key_origin} may not watch the mesh at {target}. "
                "Use a service key (SERVICE_API_KEYS), not a user key, then start again."
            )
        case grpc.StatusCode.UNIMPLEMENTED | grpc.StatusCode.INVALID_ARGUMENT:
            return NotTheGateway(
                f"What answers at {target} is not a gateway of this version. "
                "Check --target (the gateway's gRPC port, 8011 by default), then start again."
            )
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.DEADLINE_EXCEEDED:
            return Unreachable(target)
    said = clean(problem.message)
    return ConsoleError(f"The gateway at {target} failed: {problem.code.name} {said}".rstrip(), why=problem.code.name)
