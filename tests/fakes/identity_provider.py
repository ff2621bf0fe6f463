"""An OpenID Connect provider as rooms see one: discovery, keys that change, and tokens of every known shape."""

import functools
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from tests.fakes.web_server import running_web_server

AUDIENCE = "interview-agent"


@functools.cache
def rsa_key(name: str) -> RSAPrivateKey:
    """Return the key with this name, the same one at every call."""
    return generate_private_key(65537, 2048)


def described(name: str, **changes: Any) -> dict[str, Any]:
    """Return the public half of a key as providers publish it."""
    public = jwt.get_algorithm_by_name("RS256").to_jwk(rsa_key(name).public_key(), as_dict=True)
    return {**public, "kid": name, "use": "sig", "alg": "RS256", **changes}


@dataclass
class IdentityProvider:
    """A running provider. `published` are its keys, `signing` the one that it signs with now."""

    issuer: str = ""
    published: list[dict[str, Any]] = field(default_factory=lambda: [described("one")])
    signing: str = "one"
    away: bool = False
    changed: dict[str, Any] = field(default_factory=dict)
    """What the discovery document says otherwise."""
    readings: int = 0
    """How often the keys were read."""

    def rotate(self, name: str, *, keep: bool = False) -> None:
        """Sign with another key from now on; the old ones are withdrawn unless they are kept."""
        self.signing = name
        self.published = [*(self.published if keep else []), described(name)]

    def token(self, *, key: str | None = None, headers: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Return a signed token with these claims beside the usual ones; None takes one away.

        Args:
            key: signs; the present one if None. The token says that it was the present one in any case.
            headers: in place of the usual ones.
        """
        moment = int(time.time())
        usual = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "6f1c-anna",
            "iat": moment,
            "exp": moment + 300,
        }
        wanted = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode(wanted, rsa_key(key or self.signing), "RS256", {"kid": self.signing, **(headers or {})})

    def answer(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes] | None:
        """Answer a request."""
        if self.away:
            return None
        if path.endswith("/.well-known/openid-configuration"):
            document = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys", **self.changed}
            return 200, json.dumps(document).encode()
        if path.endswith("/keys"):
            self.readings += 1
            return 200, json.dumps({"keys": self.published}).encode()
        return 404, b"{}"


@contextmanager
def running_provider() -> Iterator[IdentityProvider]:
    """Serve for the block."""
    provider = IdentityProvider()
    with running_web_server(provider.answer) as address:
        provider.issuer = f"{address}/realms/main"
        yield provider


# Claims as the three kinds of provider put them into access tokens, without those that every token has.


def keycloak(**claims: Any) -> dict[str, Any]:
    """A token of Keycloak with mappers for the audience, the tenant and realm roles."""
    return {
        "jti": "onrtac:5ad9c0c6",
        "typ": "Bearer",
        "azp": "interview-agent",
        "sid": "c7c4b7a4",
        "acr": "1",
        "aud": [AUDIENCE, "account"],
        "allowed-origins": ["https://calls.example.com"],
        "realm_access": {"roles": ["default-roles-main", "offline_access"]},
        "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}},
        "scope": "openid profile email",
        "email_verified": True,
        "preferred_username": "anna",
        **claims,
    }


def auth0(**claims: Any) -> dict[str, Any]:
    """A token of Auth0, whose own claims need a namespace and whose issuer ends with a slash."""
    return {
        "aud": [AUDIENCE, "https://example.eu.auth0.com/userinfo"],
        "azp": "Wq8dYp3",
        "scope": "openid profile",
        "sub": "auth0|6501f3",
        **claims,
    }


def cognito(**claims: Any) -> dict[str, Any]:
    """An access token of Cognito: no `aud`, the app client stands in `client_id`."""
    return {
        "aud": None,
        "client_id": AUDIENCE,
        "token_use": "access",
        "auth_time": 1_790_000_000,
        "cognito:groups": ["interviewers"],
        "scope": "aws.cognito.signin.user.admin",
        "username": "anna",
        "event_id": "2b7e",
        **claims,
    }
