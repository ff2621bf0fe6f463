"""API keys: looked up by digest, so that no comparison leaks how much of a key was right."""

import hashlib
from collections.abc import Iterable, Mapping

from pydantic import SecretStr

from kit.auth.principal import EVERY_SCOPE, Principal


class KeyRing:
    """The known keys and who holds them. A subject is the kind and the start of the key's digest."""

    def __init__(self, users: Iterable[SecretStr], services: Iterable[SecretStr]) -> None:
        self._holders: dict[bytes, Principal] = {}
        for key in users:
            digest = _digest(key.get_secret_value())
            self._holders[digest] = Principal(f"user:{digest.hex()[:12]}", "user", scopes=EVERY_SCOPE)
        for key in services:
            digest = _digest(key.get_secret_value())
            self._holders[digest] = Principal(f"service:{digest.hex()[:12]}", "service", scopes=EVERY_SCOPE)

    def find(self, key: str) -> Principal | None:
        """Return the holder of a key, None if nobody holds it."""
        return self._holders.get(_digest(key))


def key_in(metadata: Mapping[str, str]) -> str | None:
    """Return the key that a call presents: `x-api-key`, else `authorization: Bearer`."""
    if key := metadata.get("x-api-key"):
        return key
    scheme, _, credentials = metadata.get("authorization", "").partition(" ")
    return credentials.strip() or None if scheme.lower() == "bearer" else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
