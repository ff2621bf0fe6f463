"""What a caller shows us, as gRPC metadata. The gateway passes it on; the rooms decide."""

from collections.abc import Mapping

from kit.auth.authenticator import TENANT_ID
from kit.errors import InvalidArgument
from kit.rpc.edge import REQUEST_ID

Metadata = tuple[tuple[str, str], ...]

API_KEY = "x-api-key"
AUTHORIZATION = "authorization"

_PASSED_ON = (API_KEY, AUTHORIZATION, TENANT_ID)


def from_headers(headers: Mapping[str, str], *, request_id: str = "") -> Metadata:
    """Return the caller's credentials as they came in HTTP headers.

    Raises:
        InvalidArgument: a header cannot travel as gRPC metadata.
    """
    pairs = [(name, headers[name]) for name in _PASSED_ON if headers.get(name)]
    for name, value in pairs:
        if not (value.isascii() and value.isprintable()):
            raise InvalidArgument("holds characters that no credential has", field=name)
    if request_id:
        pairs.append((REQUEST_ID, request_id))
    return tuple(pairs)


def from_token(token: str) -> Metadata:
    """Return credentials for a key that came in a message, as browsers must send it.

    Raises:
        InvalidArgument: the key cannot travel as gRPC metadata.
    """
    return from_headers({API_KEY: token})
