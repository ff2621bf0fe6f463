"""API keys: looked up by digest, so that no comparison leaks how much of a key was right."""

import hashlib
import re
from collections.abc import Iterable, Mapping

from pydantic import SecretStr

from kit.auth.principal import ADMIN_READ, EVERY_SCOPE, Principal

_TOKEN = re.compile(r"e[wy][A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
"""Three parts in base64, the first an object: its brace and what may follow it come out as `ey` or `ew`."""


class KeyRing:
    """The known keys and who holds them. A subject is the kind and the start of the key's digest.

    Args:
        users: keys of people.
        services: keys that may do everything a service may.
        viewers: keys of services that only read what operators read.
    """

    def __init__(
        self, users: Iterable[SecretStr], services: Iterable[SecretStr], viewers: Iterable[SecretStr] = ()
    ) -> None:
        self._holders: dict[bytes, Principal] = {}
        for key in users:
            digest = _digest(key.get_secret_value())
            self._holders[digest] = Principal(f"user:{digest.hex()[:12]}", "user", scopes=EVERY_SCOPE)
        for keys, scopes in ((viewers, frozenset({ADMIN_READ})), (services, EVERY_SCOPE)):
            for key in keys:
                digest = _digest(key.get_secret_value())
                self._holders[digest] = Principal(f"service:{digest.hex()[:12]}", "service", scopes=scopes)

    def find(self, key: str) -> Principal | None:
        """Return the holder of a key, None if nobody holds it."""
        return self._holders.get(_digest(key))


def key_in(metadata: Mapping[str, str]) -> str | None:
    """Return the key that a call presents: `x-api-key`, else `authorization: Bearer`."""
    return metadata.get("x-api-key") or _bearer(metadata)


def token_in(metadata: Mapping[str, str]) -> str | None:
    """Return the token that a call presents: `authorization: Bearer`, else `x-api-key`; None if it presents none.

    Browsers' WebSockets, the console and people's scripts have one place for whatever they were given, so a token may
    stand where keys do.
    """
    for shown in (_bearer(metadata), metadata.get("x-api-key")):
        if shown and is_token(shown):
            return shown
    return None


def is_token(credential: str) -> bool:
    """Return whether a credential has the form of a signed token, good or not."""
    return _TOKEN.fullmatch(credential) is not None


def _bearer(metadata: Mapping[str, str]) -> str | None:
    scheme, _, credentials = metadata.get("authorization", "").partition(" ")
    return credentials.strip() or None if scheme.lower() == "bearer" else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
