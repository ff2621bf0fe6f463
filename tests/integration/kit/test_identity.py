"""Tokens of an identity provider, with the provider there: verified, rotated, away, hostile."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from kit.auth.authenticator import Authenticator, make_authenticator
from kit.auth.errors import KeysUnreachable
from kit.auth.mesh import MeshCredential
from kit.auth.principal import ADMIN_READ, ADMIN_WRITE, TENANT_ID, WS_INTERNAL, Principal
from kit.errors import PermissionDenied, Unauthenticated
from kit.settings import AuthSettings, CoreSettings
from tests.fakes.identity_provider import (
    AUDIENCE,
    IdentityProvider,
    auth0,
    cognito,
    described,
    keycloak,
    rsa_key,
    running_provider,
)
from tests.kit_server import eventually

SECRET = "a-shared-secret-of-32-characters-or-more"
MESH_SECRET = "what-only-the-rooms-of-a-mesh-do-know"


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with running_provider() as running:
        yield running


def authenticator(provider: IdentityProvider, **settings: Any) -> Authenticator:
    usual = {
        "auth_mode": "jwt",
        "oidc_issuer_url": provider.issuer,
        "oidc_audience": AUDIENCE,
        "mesh_shared_secret": MESH_SECRET,
        "oidc_keys_pause_seconds": 0.1,
    }
    return make_authenticator(AuthSettings(**{**usual, **settings}), CoreSettings())


async def caller(auth: Authenticator, token: str, **metadata: str) -> Principal:
    return await auth.authenticate({"authorization": f"Bearer {token}", **metadata})


async def test_a_token_says_who_calls_wherever_it_stands(provider: IdentityProvider):
    auth = authenticator(provider)
    anna = await caller(auth, provider.token())
    assert (anna.subject, anna.kind, anna.tenant_id, anna.via) == ("user:6f1c-anna", "user", "default", "jwt")
    assert await auth.authenticate({"x-api-key": provider.token()}) == anna
    assert await auth.authenticate({"x-api-key": "habit", "authorization": f"Bearer {provider.token()}"}) == anna
    assert provider.readings == 1, "keys are kept"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"exp": int(time.time()) - 3600}, "expired"),
        ({"exp": None}, "lacks"),
        ({"nbf": int(time.time()) + 3600}, "not valid yet"),
        ({"iat": int(time.time()) + 3600}, "not valid yet"),
        ({"iss": "https://elsewhere.example"}, "another issuer"),
        ({"iss": None}, "lacks"),
        ({"aud": "another-application"}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"aud": {"interview-agent": 1}}, "another audience"),
        ({"sub": None}, "lacks"),
        ({"sub": " "}, "sub"),
        ({"sub": "x" * 300}, "sub"),
        ({"sub": "two\nlines"}, "sub"),
        ({"key": "stranger"}, "signature"),
        ({"headers": {"kid": "never-published"}}, "does not publish"),
        ({"headers": {"kid": "../../keys"}}, "does not publish"),
        ({"headers": {"crit": ["exp"]}}, "cannot be read"),
    ],
)
async def test_a_token_that_is_not_good_is_refused(provider: IdentityProvider, changes: dict[str, Any], sentence: str):
    with pytest.raises(Unauthenticated, match=sentence) as caught:
        await caller(authenticator(provider), provider.token(**changes))
    assert "6f1c-anna" not in str(caught.value)


async def test_no_token_chooses_how_it_is_checked(provider: IdentityProvider):
    auth = authenticator(provider)
    claims = jwt.decode(provider.token(), options={"verify_signature": False})
    public = rsa_key("one").public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def part(value: Any) -> str:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def hs256(key: bytes, kid: str) -> str:
        text = f"{part({'alg': 'HS256', 'kid': kid})}.{part(claims)}"
        return f"{text}.{part(hmac.new(key, text.encode(), hashlib.sha256).digest())}"

    forged = [
        f"{part({'alg': 'none', 'kid': 'one'})}.{part(claims)}.",
        f"{part({'alg': 'None'})}.{part(claims)}.{part(b'x')}",
        hs256(pem, "one"),
        hs256(json.dumps(described("one")).encode(), "one"),
        jwt.encode(claims, rsa_key("one"), "RS512", {"kid": "one"}),
        jwt.encode(claims, rsa_key("stranger"), "RS256", {"kid": "one", "jwk": described("stranger")}),
        provider.token()[:-4] + "AAAA",
        f"{part({'alg': 'RS256', 'kid': 'one'})}.{part(b'[' * 5000)}.{part(b'x')}",
        f"{part(['RS256'])}.{part(claims)}.{part(b'x')}",
        f"{part({'alg': ['RS256'], 'kid': 'one'})}.{part(claims)}.{part(b'x')}",
        "eyJhbGciOiJSUzI1NiJ9." + "A" * 20_000 + ".AA",
        "eyJ.e.",
    ]
    for token in forged:
        with pytest.raises(Unauthenticated):
            await caller(auth, token)


async def is_taken(auth: Authenticator, token: str) -> bool:
    """Return whether a token is good; one with a new key is not for as long as the pause after the last reading."""
    try:
        await caller(auth, token)
    except Unauthenticated:
        return False
    return True


async def test_keys_rotate_while_tokens_are_checked(provider: IdentityProvider):
    auth = authenticator(provider)
    old = provider.token()
    await caller(auth, old)
    provider.rotate("two", keep=True)
    await eventually(partial(is_taken, auth, provider.token()))
    await caller(auth, old)
    provider.rotate("three")
    await eventually(partial(is_taken, auth, provider.token()))
    with pytest.raises(Unauthenticated, match="does not publish"):
        await caller(auth, old)


async def test_invented_keys_do_not_cost_the_provider_readings(provider: IdentityProvider):
    auth = authenticator(provider, oidc_keys_pause_seconds=60)
    await caller(auth, provider.token())
    for number in range(20):
        with pytest.raises(Unauthenticated):
            await caller(auth, provider.token(headers={"kid": f"invented-{number}"}))
    assert provider.readings == 1


async def test_a_provider_that_goes_away_takes_nobody_with_it(provider: IdentityProvider):
    auth = authenticator(provider, oidc_keys_fresh_seconds=1)
    (before,) = await auth.checks()
    assert before.ok, "nobody is to blame before the first reading"
    await caller(auth, provider.token())
    provider.away = True

    async def noticed() -> bool:
        await caller(auth, provider.token())
        (check,) = await auth.checks()
        return not check.ok and not check.critical and "1 keys known" in check.message

    await eventually(noticed)
    provider.away = False

    async def regained() -> bool:
        (check,) = await auth.checks()
        return check.ok

    await eventually(regained)


async def test_a_provider_that_was_never_there_is_no_fault_of_the_caller(provider: IdentityProvider):
    provider.away = True
    auth = authenticator(provider)
    with pytest.raises(KeysUnreachable):
        await caller(auth, provider.token())
    room = MeshCredential("ingest", MESH_SECRET)
    assert (await caller(auth, room())).subject == "service:ingest", "rooms know each other without it"


@pytest.mark.parametrize(
    ("changed", "published"),
    [
        ({"issuer": "https://elsewhere.example"}, None),
        ({"jwks_uri": None}, None),
        ({"jwks_uri": 7}, None),
        ({}, []),
        ({}, [described("one", use="enc")]),
        ({}, [described("one", alg="RS512")]),
        ({}, [{"kty": "oct", "kid": "one", "k": "AAAA"}]),
        ({}, [{"kty": "RSA", "kid": "one", "n": "!", "e": "AQAB"}, "text", None]),
        ({}, [described("one", kid="x" * 600_000)]),
    ],
)
async def test_a_provider_that_publishes_nothing_usable_is_as_good_as_away(
    provider: IdentityProvider, changed: dict[str, Any], published: list[dict[str, Any]] | None
):
    provider.changed = changed
    provider.published = provider.published if published is None else published
    with pytest.raises(KeysUnreachable):
        await caller(authenticator(provider), provider.token())


async def test_keys_may_be_named_without_discovery_and_a_token_need_not_name_the_only_one(provider: IdentityProvider):
    auth = authenticator(provider, oidc_issuer_url="", oidc_jwks_url=f"{provider.issuer}/keys")
    await caller(auth, provider.token(iss="https://any.example"))
    await caller(auth, provider.token(headers={"kid": ""}))
    provider.rotate("two", keep=True)
    await eventually(partial(is_taken, auth, provider.token()))
    with pytest.raises(Unauthenticated):
        await caller(auth, provider.token(headers={"kid": ""}))


async def test_tokens_of_keycloak(provider: IdentityProvider):
    auth = authenticator(
        provider,
        tenant_enforcement_enabled=True,
        jwt_service_role_claim="realm_access.roles",
        jwt_service_allowed_roles="service,admin",
    )
    anna = await caller(auth, provider.token(**keycloak(tenant_id="acme")))
    assert (anna.kind, anna.tenant_id) == ("user", "acme")
    robot = keycloak(
        sub="0c7f-robot",
        azp="robot",
        preferred_username="service-account-robot",
        realm_access={"roles": ["service"]},
        scope="profile agent.admin.read",
    )
    viewer = await caller(auth, provider.token(**robot), **{TENANT_ID: "acme"})
    assert (viewer.subject, viewer.kind, viewer.tenant_id) == ("service:0c7f-robot", "service", "acme")
    assert viewer.scopes == {ADMIN_READ}
    assert viewer.viewer
    for needless in ({"typ": "Refresh", "aud": provider.issuer}, {"tenant_id": None}, {"tenant_id": "../acme"}):
        with pytest.raises((Unauthenticated, PermissionDenied)):
            await caller(auth, provider.token(**keycloak(tenant_id="acme") | needless))


async def test_tokens_of_auth0(provider: IdentityProvider):
    provider.changed = {"issuer": f"{provider.issuer}/"}
    auth = authenticator(
        provider,
        tenant_enforcement_enabled=True,
        tenant_claim_key="https://calls.example.com/tenant_id",
        jwt_service_claim_values="service",
        jwt_service_permission_claim="permissions",
    )
    claims = auth0(iss=f"{provider.issuer}/", **{"https://calls.example.com/tenant_id": "acme"})
    assert (await caller(auth, provider.token(**claims))).tenant_id == "acme"
    robot = claims | {"sub": "Wq8dYp3@clients", "token_type": "service", "permissions": ["agent.admin", "other"]}
    service = await caller(auth, provider.token(**robot))
    assert service.scopes == {ADMIN_READ, ADMIN_WRITE, WS_INTERNAL}
    assert service.tenant_id == "acme"
    with pytest.raises(PermissionDenied):
        await caller(auth, provider.token(**robot), **{TENANT_ID: "globex"})


async def test_tokens_of_cognito(provider: IdentityProvider):
    auth = authenticator(
        provider,
        tenant_enforcement_enabled=True,
        jwt_service_claim_key="token_use",
        jwt_service_role_claim="cognito:groups",
        jwt_service_allowed_roles="robots",
        jwt_service_required_scopes_admin_read="calls/admin.read",
    )
    assert (await caller(auth, provider.token(**cognito(tenant_id="acme")))).kind == "user"
    identity = {"aud": AUDIENCE, "token_use": "id", "custom:tenant_id": "acme", "client_id": None, "scope": None}
    with pytest.raises(PermissionDenied):
        await caller(auth, provider.token(**cognito(**identity)))
    mapped = authenticator(provider, tenant_enforcement_enabled=True, tenant_claim_key="custom:tenant_id")
    assert (await caller(mapped, provider.token(**cognito(**identity)))).tenant_id == "acme"
    robot = cognito(sub="robot", **{"cognito:groups": ["robots"]}, scope="calls/admin.read agent.admin.write")
    assert (await caller(auth, provider.token(**robot))).scopes == {ADMIN_READ, ADMIN_WRITE}
    with pytest.raises(Unauthenticated, match="audience"):
        await caller(auth, provider.token(**cognito(client_id="another", tenant_id="acme")))


async def test_a_shared_secret_is_enough_on_a_desk(provider: IdentityProvider):
    auth = authenticator(provider, oidc_issuer_url="", oidc_audience="", jwt_shared_secret=SECRET)
    claims = {"sub": "anna", "exp": int(time.time()) + 60}
    assert (await caller(auth, jwt.encode(claims, SECRET, "HS256"))).subject == "user:anna"
    for token in (jwt.encode(claims, SECRET + "!", "HS256"), provider.token(), jwt.encode({"sub": "a"}, SECRET)):
        with pytest.raises(Unauthenticated):
            await caller(auth, token)


async def test_no_scope_of_a_token_means_more_than_the_settings_say(provider: IdentityProvider):
    auth = authenticator(provider, jwt_service_claim_values="m2m", jwt_service_required_scopes_admin_read="calls.look")
    robot = await caller(auth, provider.token(token_type="m2m", scope="* agent.admin.read calls.lookout"))
    assert robot.scopes == frozenset()
    assert (await caller(auth, provider.token(token_type="m2m", scope=["calls.look", 7]))).scopes == {ADMIN_READ}


async def test_service_keys_beside_tokens_only_where_they_are_allowed(provider: IdentityProvider):
    keys = {"service_api_keys": "service-key", "service_read_api_keys": "viewer-key", "api_keys": "user-key"}
    auth = authenticator(provider, **keys)
    assert (await auth.authenticate({"x-api-key": "service-key"})).kind == "service"
    assert (await auth.authenticate({"x-api-key": "viewer-key"})).viewer
    with pytest.raises(Unauthenticated):
        await auth.authenticate({"x-api-key": "user-key"})
    with pytest.raises(Unauthenticated):
        await auth.authenticate({"x-api-key": "service-key", "authorization": f"Bearer {provider.token(exp=1)}"})
    alone = authenticator(provider, **keys, auth_service_key_fallback=False)
    with pytest.raises(Unauthenticated, match="no token"):
        await alone.authenticate({"x-api-key": "service-key"})
    with pytest.raises(Unauthenticated):
        await alone.authenticate({})
