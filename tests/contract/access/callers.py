"""Everybody who may come to a door, and what the contract says about each of them."""

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives import serialization

from agent.common.v1 import access_pb2
from kit.auth.authenticator import Authenticator, make_authenticator
from kit.auth.mesh import MeshCredential
from kit.settings import AuthSettings, CoreSettings
from tests.fakes.identity_provider import AUDIENCE, IdentityProvider, keycloak, rsa_key

Verdict = Literal["admitted", "unauthenticated", "denied"]
Access = access_pb2.Access

MESH_SECRET = "what-only-the-rooms-of-a-mesh-do-know"
USER_KEY, SERVICE_KEY, VIEWER_KEY = "a-key-of-a-person", "a-key-of-a-service", "a-key-of-a-viewer"
READ, WRITE, SOCKET = "agent.admin.read", "agent.admin.write", "agent.ws.internal"


@dataclass(frozen=True)
class Caller:
    """Somebody with credentials, as metadata or headers; `verdict` says by the access option alone what must happen."""

    name: str
    shown: Mapping[str, str]
    verdict: Callable[[Access], Verdict]


def token_installation(provider: IdentityProvider) -> Authenticator:
    """AUTH_MODE=jwt with everything on: tenants are enforced, service keys are taken beside tokens."""
    return make_authenticator(
        AuthSettings(
            auth_mode="jwt",
            oidc_issuer_url=provider.issuer,
            oidc_audience=AUDIENCE,
            jwt_service_role_claim="realm_access.roles",
            jwt_service_allowed_roles="service",
            tenant_enforcement_enabled=True,
            api_keys=USER_KEY,
            service_api_keys=SERVICE_KEY,
            service_read_api_keys=VIEWER_KEY,
            mesh_shared_secret=MESH_SECRET,
        ),
        CoreSettings(),
    )


def key_installation() -> Authenticator:
    """AUTH_MODE=api_key."""
    return make_authenticator(
        AuthSettings(
            auth_mode="api_key",
            api_keys=USER_KEY,
            service_api_keys=SERVICE_KEY,
            service_read_api_keys=VIEWER_KEY,
        ),
        CoreSettings(),
    )


def token_callers(provider: IdentityProvider) -> list[Caller]:
    """Everybody who may come to a door of an installation that takes tokens."""

    def bearer(**claims: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {provider.token(**claims)}"}

    def robot(scope: str, **claims: Any) -> dict[str, Any]:
        return keycloak(sub="robot", realm_access={"roles": ["service"]}, scope=scope, **claims)

    anna = keycloak(tenant_id="acme")
    everything = f"profile {READ} {WRITE} {SOCKET}"
    return [
        *strangers(),
        Caller("a person's key", {"x-api-key": USER_KEY}, nobody),
        Caller("a person", bearer(**anna), person),
        Caller("a person in the place of keys", {"x-api-key": provider.token(**anna)}, person),
        Caller("a person for their own tenant", bearer(**anna) | {"x-tenant-id": "acme"}, person),
        Caller("a person for another tenant", bearer(**anna) | {"x-tenant-id": "globex"}, refused),
        Caller("a person without a tenant", bearer(**keycloak()), refused),
        Caller("a person with scopes of services", bearer(**anna | {"scope": everything}), person),
        Caller("a service", bearer(**robot(everything)), holding(READ, WRITE, SOCKET)),
        Caller(
            "a service for a tenant",
            bearer(**robot(everything)) | {"x-tenant-id": "acme"},
            holding(READ, WRITE, SOCKET),
        ),
        Caller("a service of one tenant", bearer(**robot(everything, tenant_id="acme")), holding(READ, WRITE, SOCKET)),
        Caller(
            "a service of another tenant",
            bearer(**robot(everything, tenant_id="acme")) | {"x-tenant-id": "globex"},
            refused,
        ),
        Caller("a service that may write only", bearer(**robot(WRITE)), holding(WRITE)),
        Caller("a service with another scope", bearer(**robot("openid agent.admin.reader")), holding()),
        Caller("a service with every scope that is none", bearer(**robot("* agent.*")), holding()),
        Caller("a viewer", bearer(**robot(READ)), viewer),
        Caller("a service's key", {"x-api-key": SERVICE_KEY}, holding(READ, WRITE, SOCKET)),
        Caller("a viewer's key", {"x-api-key": VIEWER_KEY}, viewer),
        Caller(
            "a room", {"authorization": f"Bearer {MeshCredential('stt', MESH_SECRET)()}"}, holding(READ, WRITE, SOCKET)
        ),
        Caller("a room of another mesh", {"authorization": f"Bearer {MeshCredential('stt', 'x' * 32)()}"}, nobody),
        *(Caller(name, {"authorization": f"Bearer {token}"}, nobody) for name, token in forged(provider).items()),
    ]


def key_callers() -> list[Caller]:
    """Everybody who may come to a door of an installation that takes keys."""
    return [
        *strangers(),
        Caller("a person's key", {"x-api-key": USER_KEY}, person),
        Caller("a person's key as a bearer", {"authorization": f"Bearer {USER_KEY}"}, person),
        Caller("a person's key for another tenant", {"x-api-key": USER_KEY, "x-tenant-id": "globex"}, refused),
        Caller("a service's key", {"x-api-key": SERVICE_KEY}, holding(READ, WRITE, SOCKET)),
        Caller(
            "a service's key for a tenant",
            {"x-api-key": SERVICE_KEY, "x-tenant-id": "acme"},
            holding(READ, WRITE, SOCKET),
        ),
        Caller("a viewer's key", {"x-api-key": VIEWER_KEY}, viewer),
        Caller("a room that signs", {"authorization": f"Bearer {MeshCredential('stt', MESH_SECRET)()}"}, nobody),
        Caller("no signature", {"authorization": f"Bearer {unsigned({'sub': 'anna'})}"}, nobody),
    ]


def strangers() -> list[Caller]:
    """Callers whom nobody knows anywhere."""
    return [
        Caller("no key", {}, nobody),
        Caller("an unknown key", {"x-api-key": "a-guess"}, nobody),
        Caller("another scheme", {"authorization": f"Basic {SERVICE_KEY}"}, nobody),
        Caller("a tenant alone", {"x-tenant-id": "acme"}, nobody),
    ]


def forged(provider: IdentityProvider) -> dict[str, str]:
    """Tokens of a service with every scope that somebody has tampered with, or that are not good now."""
    claims = keycloak(sub="robot", realm_access={"roles": ["service"]}, scope=f"{READ} {WRITE} {SOCKET}")
    good = provider.token(**claims)
    head, body, signature = good.split(".")
    public = rsa_key("one").public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    content = jwt.decode(good, options={"verify_signature": False})
    richer = _part(content | {"sub": "somebody-else"})
    return {
        "an expired token": provider.token(**claims, exp=int(time.time()) - 600),
        "a token of tomorrow": provider.token(**claims, nbf=int(time.time()) + 86_400),
        "a token for others": provider.token(**claims | {"aud": "another-application"}),
        "another issuer's token": provider.token(**claims, iss="https://elsewhere.example"),
        "a stranger's signature": provider.token(key="stranger", **claims),
        "other claims under a good signature": f"{head}.{richer}.{signature}",
        "a cut signature": f"{head}.{body}.",
        "no signature": unsigned(content),
        "no signature, said in capitals": unsigned(content, "NONE"),
        "a secret that is the public key": _signed_with(pem, content),
        "a token with its own key": jwt.encode(
            content, rsa_key("stranger"), "RS256", {"jwk": _jwk("stranger"), "kid": "one"}
        ),
    }


def unsigned(claims: Mapping[str, Any], algorithm: str = "none") -> str:
    """Return a token that nobody has signed."""
    return f"{_part({'alg': algorithm, 'typ': 'JWT', 'kid': 'one'})}.{_part(claims)}."


# What the contract says, read from nothing but the option.


def nobody(access: Access) -> Verdict:
    """Of callers who are not known."""
    return "admitted" if access_pb2.CALLER_PUBLIC in access.callers else "unauthenticated"


def refused(access: Access) -> Verdict:
    """Of callers who are known and act for a tenant that is not theirs."""
    return "admitted" if access_pb2.CALLER_PUBLIC in access.callers else "denied"


def person(access: Access) -> Verdict:
    """Of people; no scope is ever a person's."""
    if access_pb2.CALLER_PUBLIC in access.callers:
        return "admitted"
    return "admitted" if access_pb2.CALLER_USER in access.callers else "denied"


def holding(*scopes: str) -> Callable[[Access], Verdict]:
    """Of services with these scopes."""

    def verdict(access: Access) -> Verdict:
        if access_pb2.CALLER_PUBLIC in access.callers:
            return "admitted"
        fits = access_pb2.CALLER_SERVICE in access.callers and (not access.scope or access.scope in scopes)
        return "admitted" if fits else "denied"

    return verdict


def viewer(access: Access) -> Verdict:
    """Of services that may only read."""
    if access_pb2.CALLER_PUBLIC in access.callers:
        return "admitted"
    return "admitted" if access_pb2.CALLER_SERVICE in access.callers and access.scope == READ else "denied"


def _part(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _jwk(name: str) -> dict[str, Any]:
    return jwt.get_algorithm_by_name("RS256").to_jwk(rsa_key(name).public_key(), as_dict=True)


def _signed_with(secret: bytes, claims: Mapping[str, Any]) -> str:
    text = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'one'})}.{_part(claims)}"
    signature = jwt.get_algorithm_by_name("HS256").sign(text.encode(), secret)
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
