"""One secret of a vault's KV engine, version 1 or 2, over its HTTP interface."""

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx2

_MAX_BYTES = 1024 * 1024
_REFUSALS = {
    400: "VAULT_SECRET_PATH: the vault does not understand the path; check VAULT_KV_MOUNT too",
    403: "VAULT_TOKEN: the vault refuses the token for this secret (403); it may have expired or lack `read`",
    404: "VAULT_SECRET_PATH: the vault has no such secret (404); check VAULT_KV_MOUNT and VAULT_KV_VERSION too",
    429: "VAULT_ADDR: the vault is a standby or busy (429); name the active node",
    473: "VAULT_ADDR: the vault is a performance standby (473); name the active node",
    503: "VAULT_ADDR: the vault is sealed or under maintenance (503)",
}


class VaultError(Exception):
    """The secret cannot be read; the message is one line that begins with the variable to change."""


@dataclass(frozen=True)
class VaultSecret:
    """Where a secret is and how it is reached. `token` is never shown."""

    address: str
    token: str = field(repr=False)
    mount: str
    version: int
    path: str
    namespace: str = ""
    timeout_seconds: float = 5.0
    authority: Path | None = None
    skip_verify: bool = False

    @property
    def url(self) -> str:
        """Address of the secret in the vault's HTTP interface."""
        inner = "data/" if self.version == 2 else ""
        return f"{self.address.rstrip('/')}/v1/{quote(self.mount.strip('/'))}/{inner}{quote(self.path.strip('/'))}"


def read_secret(secret: VaultSecret) -> Mapping[str, str]:
    """Read every field of a secret; blocks for at most its timeout, and a little.

    Raises:
        VaultError: the vault cannot be reached, refuses, or answers something else than a secret.
    """
    headers = {"x-vault-token": secret.token, "x-vault-request": "true"}
    if secret.namespace:
        headers["x-vault-namespace"] = secret.namespace
    try:
        with (
            httpx2.Client(timeout=secret.timeout_seconds, verify=_trust(secret), follow_redirects=False) as client,
            client.stream("GET", secret.url, headers=headers) as response,
        ):
            if response.status_code != 200:
                usual = f"VAULT_ADDR: the vault answers {response.status_code}"
                raise VaultError(_REFUSALS.get(response.status_code, usual))
            return _fields(_read(response, time.monotonic() + secret.timeout_seconds), secret.version)
    except (httpx2.TimeoutException, TimeoutError):
        raise VaultError(f"VAULT_ADDR: the vault did not answer within {secret.timeout_seconds:g} s") from None
    except httpx2.TransportError as error:
        # Its text may hold the address with a password in it.
        raise VaultError(f"VAULT_ADDR: the vault cannot be reached ({_cause(error)})") from None
    except (httpx2.InvalidURL, UnicodeError):
        raise VaultError("VAULT_ADDR: is not an address such as https://vault.example.com") from None


def _trust(secret: VaultSecret) -> ssl.SSLContext | bool:
    if secret.skip_verify:
        return False
    if secret.authority is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(secret.authority))
    except (OSError, ssl.SSLError):
        raise VaultError(f"VAULT_CACERT: cannot read certificates from {secret.authority}") from None


def _read(response: httpx2.Response, deadline: float) -> httpx2.Response:
    """Take the whole answer, unless it is too long or drips too slowly for the client's own timeout to notice."""
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > _MAX_BYTES:
            raise VaultError("VAULT_SECRET_PATH: the vault's answer is larger than 1 MiB")
        if time.monotonic() > deadline:
            raise TimeoutError
    return httpx2.Response(200, content=bytes(body))


def _fields(response: httpx2.Response, version: int) -> Mapping[str, str]:
    try:
        data = response.json()["data"]
        values = data["data"] if version == 2 else data
        if version == 1 and set(values) == {"data", "metadata"}:
            raise VaultError("VAULT_KV_VERSION: the engine at VAULT_KV_MOUNT has version 2")
        items = dict(values).items()
    except (ValueError, KeyError, TypeError):
        raise VaultError("VAULT_KV_VERSION: the vault's answer holds no secret of this version") from None
    return {str(name): _text(str(name), value) for name, value in items if value is not None}


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ",".join(value)
    if isinstance(value, str | int | float):
        return str(value)
    raise VaultError(f"VAULT_SECRET_PATH: field {name!r} of the secret is not text")


def _cause(error: BaseException) -> str:
    inner: BaseException = error
    while inner.__cause__ is not None or inner.__context__ is not None:
        inner = inner.__cause__ or inner.__context__ or inner
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {inner.verify_message}; see VAULT_CACERT"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return type(error).__name__
