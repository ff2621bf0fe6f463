"""Where a call came from: the HTTP request that the gateway made an RPC of, vouched for by a service key.

A person's call travels with the person's credentials, so the metadata itself proves nothing about the gateway. It
carries a seal instead: HMAC-SHA256 over the request, keyed with a service key that the rooms share. A caller without
such a key cannot make the trail show another path than the one that was called.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import SecretStr

ORIGIN = "x-agent-origin"
SEAL = "x-agent-origin-seal"

_MAX_PATH_CHARACTERS = 512
_PURPOSE = b"agent.audit.origin.v1\n"
_REQUEST_ID = "x-request-id"


@dataclass(frozen=True, slots=True)
class Origin:
    """An HTTP request, without its query: that may hold anything."""

    method: str
    path: str

    @classmethod
    def of(cls, method: str, path: str) -> Self:
        """Return the origin of a request; what cannot travel as metadata is shown as `?`, a long path is cut."""
        if not (path.isascii() and path.isprintable()):
            path = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in path)
        return cls(method, path[:_MAX_PATH_CHARACTERS])


class Origins:
    """Seals origins and reads them.

    Args:
        keys: service keys; the first seals, any of them may have sealed what is read.
        trusting: whether an origin needs no seal, as where every caller is trusted (AUTH_MODE=none).
    """

    def __init__(self, keys: Sequence[SecretStr] = (), *, trusting: bool = False) -> None:
        self._keys = [key.get_secret_value().encode() for key in keys]
        self._trusting = trusting

    def write(self, origin: Origin, request_id: str) -> tuple[tuple[str, str], ...]:
        """Return the metadata that tells of an origin; none where nobody would believe it."""
        if not self._keys and not self._trusting:
            return ()
        text = f"{origin.method} {origin.path}"
        seal = _seal(self._keys[0], text, request_id) if self._keys else ""
        return ((ORIGIN, text), (SEAL, seal)) if seal else ((ORIGIN, text),)

    def read(self, metadata: Mapping[str, str]) -> Origin | None:
        """Return the origin that a call tells of, None if it tells of none or its seal is not one of ours."""
        text = metadata.get(ORIGIN)
        if not text:
            return None
        seal, request_id = metadata.get(SEAL, ""), metadata.get(_REQUEST_ID, "")
        if not self._trusting and not any(
            hmac.compare_digest(_seal(key, text, request_id).encode(), seal.encode()) for key in self._keys
        ):
            return None
        method, _, path = text.partition(" ")
        return Origin(method, path)


def _seal(key: bytes, text: str, request_id: str) -> str:
    return hmac.new(key, _PURPOSE + f"{request_id}\n{text}".encode(), hashlib.sha256).hexdigest()
