"""The public keys of an identity provider: found, kept, read again when a token names one that is not known."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any

import httpx2
import jwt
from jwt.algorithms import AllowedPublicKeys
from prometheus_client import Counter

from kit.auth.errors import KeysUnreachable
from kit.errors import Unauthenticated
from kit.ops.sources import Check
from kit.telemetry import logs

_MAX_BYTES = 512 * 1024
_MAX_KEYS = 64
_LEAST_RSA_BITS = 2048
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_DISCOVERY = "/.well-known/openid-configuration"

_READINGS = Counter(
    "agent_identity_key_readings_total", "Readings of the identity provider's keys by outcome.", ("outcome",)
)

log = logs.get()


class KeysUnusable(Exception):
    """The provider's answer holds no keys for us; the message is for the log and names no address."""


class ProviderKeys:
    """The keys of one provider.

    Args:
        issuer: address of the issuer, whose keys are found by discovery; may be empty if `jwks_url` is not.
        jwks_url: address of the keys; empty: discovered.
        algorithms: signatures that are accepted.
        fresh_seconds: age at which keys are read again, in the background.
        pause_seconds: least time between two readings, so that tokens with invented keys cost the provider nothing.
        timeout_seconds: time that a reading may take.
    """

    def __init__(
        self,
        issuer: str,
        jwks_url: str,
        algorithms: Iterable[str],
        *,
        fresh_seconds: float = 300.0,
        pause_seconds: float = 10.0,
        timeout_seconds: float = 5.0,
    ) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._algorithms = tuple(algorithms)
        self._fresh_seconds = fresh_seconds
        self._pause_seconds = pause_seconds
        self._timeout_seconds = timeout_seconds
        self._keys: Mapping[tuple[str, str], AllowedPublicKeys] = {}
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._failure = ""
        self._reading: asyncio.Task[None] | None = None

    async def find(self, key_id: str, algorithm: str) -> AllowedPublicKeys:
        """Return the key with which a token says that it is signed.

        Args:
            key_id: `kid` of the token; empty if it has none, which will do while there is only one key.
            algorithm: `alg` of the token.

        Raises:
            Unauthenticated: the provider publishes no such key.
            KeysUnreachable: the provider was never reached.
        """
        key = self._known(key_id, algorithm)
        if key is not None:
            self.refresh()
            return key
        if self._may_read():
            # Every caller waits for the one reading; one that gives up does not end it for the others.
            await asyncio.shield(self._read_soon())
            key = self._known(key_id, algorithm)
        if key is not None:
            return key
        if not self._keys:
            raise KeysUnreachable
        raise Unauthenticated("the token is signed with a key that the identity provider does not publish")

    def refresh(self) -> None:
        """Read the keys in the background if they have grown old; those that are known go on serving."""
        if monotonic() - self._read_at >= self._fresh_seconds and self._may_read():
            self._read_soon()

    def check(self) -> Check:
        """Return whether the provider answers; rooms go on without it, so nothing else depends on that."""
        self.refresh()
        if not self._failure:
            return Check("identity_provider", True, critical=False)
        known = f"{len(self._keys)} keys known from before serve on" if self._keys else "tokens cannot be checked"
        return Check("identity_provider", False, f"{self._failure}: see OIDC_ISSUER_URL; {known}", critical=False)

    def _known(self, key_id: str, algorithm: str) -> AllowedPublicKeys | None:
        if key_id:
            return self._keys.get((key_id, algorithm))
        fitting = [key for (_, fits), key in self._keys.items() if fits == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def _may_read(self) -> bool:
        return self._reading is not None or monotonic() - self._tried_at >= self._pause_seconds

    def _read_soon(self) -> "asyncio.Task[None]":
        if self._reading is None:
            self._tried_at = monotonic()
            self._reading = asyncio.create_task(self._read(), name="auth.provider_keys")
            self._reading.add_done_callback(self._have_read)
        return self._reading

    def _have_read(self, task: "asyncio.Task[None]") -> None:
        self._reading = None

    async def _read(self) -> None:
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                httpx2.AsyncClient(timeout=self._timeout_seconds, follow_redirects=False) as client,
            ):
                url = self._jwks_url or await self._discover(client)
                keys = _usable(await _document(client, url), self._algorithms)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, KeysUnusable) as error:
            usable = isinstance(error, KeysUnusable)
            self._failure = str(error) if usable else "the identity provider cannot be reached"
            _READINGS.labels("failed").inc()
            log.warning("identity_keys_unreadable", reason=str(error) if usable else type(error).__name__)
            return
        changed = keys.keys() != self._keys.keys()
        self._keys, self._read_at, self._failure = keys, monotonic(), ""
        _READINGS.labels("read").inc()
        if changed:
            log.info("identity_keys_read", keys=len({key_id for key_id, _ in keys}))

    async def _discover(self, client: httpx2.AsyncClient) -> str:
        document = await _document(client, self._issuer.rstrip("/") + _DISCOVERY)
        if str(document.get("issuer", "")).rstrip("/") != self._issuer.rstrip("/"):
            raise KeysUnusable("the discovery document is another issuer's")
        url = document.get("jwks_uri")
        if not isinstance(url, str) or (self._issuer.startswith("https:") and not url.startswith("https:")):
            raise KeysUnusable("the discovery document names no safe jwks_uri")
        return url


async def _document(client: httpx2.AsyncClient, url: str) -> dict[str, Any]:
    async with client.stream("GET", url, headers={"accept": "application/json"}) as response:
        if response.status_code != 200:
            raise KeysUnusable(f"the identity provider answers {response.status_code}")
        body = bytearray()
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > _MAX_BYTES:
                raise KeysUnusable("the identity provider's answer is too long")
    try:
        document = json.loads(bytes(body))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise KeysUnusable("the identity provider's answer is not a JSON object")
    return document


def _usable(document: Mapping[str, Any], algorithms: Iterable[str]) -> dict[tuple[str, str], AllowedPublicKeys]:
    """Return the keys by id and algorithm. Keys of other kinds, for encryption or too short are passed over."""
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise KeysUnusable("the identity provider's answer holds no keys")
    found: dict[tuple[str, str], AllowedPublicKeys] = {}
    for described in listed[:_MAX_KEYS]:
        if not isinstance(described, dict) or described.get("use", "sig") != "sig":
            continue
        for algorithm in algorithms:
            key = _public_key(described, algorithm)
            if key is not None:
                found[str(described.get("kid", "")), algorithm] = key
    if not found:
        raise KeysUnusable("none of the identity provider's keys fits OIDC_ALGORITHMS")
    return found


def _public_key(described: Mapping[str, Any], algorithm: str) -> AllowedPublicKeys | None:
    """Return what verifies `algorithm`; None if the key is of another kind, private or broken."""
    kind = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}[algorithm[:2]]
    if described.get("kty") != kind or described.get("alg", algorithm) != algorithm or "d" in described:
        return None
    if algorithm in _CURVES and described.get("crv") != _CURVES[algorithm]:
        return None
    try:
        key: Any = jwt.get_algorithm_by_name(algorithm).from_jwk(dict(described))
    except (jwt.InvalidKeyError, ValueError, TypeError, KeyError):
        return None
    if kind == "RSA" and key.key_size < _LEAST_RSA_BITS:
        return None
    return key  # type: ignore[no-any-return]
