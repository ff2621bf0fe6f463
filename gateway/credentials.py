"""What a caller shows us, as gRPC metadata. The gateway passes it on; the rooms decide."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from kit.audit.origin import ORIGIN, SEAL
from kit.auth.authenticator import TENANT_ID
from kit.errors import InvalidArgument
from kit.rpc.edge import REQUEST_ID

Metadata = tuple[tuple[str, str], ...]

API_KEY = "x-api-key"
AUTHORIZATION = "authorization"

_PASSED_ON = (API_KEY, AUTHORIZATION, TENANT_ID)
_CARRIED = (*_PASSED_ON, REQUEST_ID, ORIGIN, SEAL)


@dataclass(frozen=True, slots=True)
class Arrival:
    """The HTTP request that a task works for: its id, and what tells the rooms where their calls come from."""

    request_id: str = ""
    origin: Metadata = ()


_arrival: ContextVar[Arrival] = ContextVar("http_arrival", default=Arrival())  # noqa: B039 - it is frozen


def set_arrival(arrival: Arrival) -> None:
    """Let this task work for an HTTP request; only the edge does this."""
    _arrival.set(arrival)


def from_headers(headers: Mapping[str, str], *, request_id: str = "") -> Metadata:
    """Return the caller's credentials as they came in HTTP headers, with the request's id and origin.

    Raises:
        InvalidArgument: a header cannot travel as gRPC metadata.
    """
    pairs = [(name, headers[name]) for name in _PASSED_ON if headers.get(name)]
    for name, value in pairs:
        if not (value.isascii() and value.isprintable()):
            raise InvalidArgument("holds characters that no credential has", field=name)
    arrival = _arrival.get()
    if request_id or arrival.request_id:
        pairs.append((REQUEST_ID, request_id or arrival.request_id))
    return (*pairs, *arrival.origin)


def passed_on(context: Any) -> Metadata:
    """Return what the caller of one of our own RPCs showed, for the calls that answer it."""
    return tuple((key, value) for key, value in context.invocation_metadata() or () if key in _CARRIED)


def from_token(token: str) -> Metadata:
    """Return credentials for a key that came in a message, as browsers must send it.

    Raises:
        InvalidArgument: the key cannot travel as gRPC metadata.
    """
    return from_headers({API_KEY: token})
