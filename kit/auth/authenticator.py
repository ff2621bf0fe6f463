"""Turns the metadata of a call into a principal, according to AUTH_MODE."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from kit.auth.claims import ClaimRules
from kit.auth.keys import KeyRing, is_token, key_in, token_in
from kit.auth.outgoing import Credential
from kit.auth.principal import EVERY_SCOPE, TENANT_ID, Principal
from kit.auth.production import refusals
from kit.auth.tenant import for_tenant
from kit.errors import Unauthenticated
from kit.ops.sources import Check
from kit.settings import AuthSettings, CoreSettings, SettingsError

if TYPE_CHECKING:  # cryptography and an HTTP client: the console and rooms that take keys start without them
    from kit.auth.mesh import MeshTokens
    from kit.auth.tokens import TokenVerifier

__all__ = ["TENANT_ID", "ApiKeys", "Authenticator", "Everybody", "Tokens", "make_authenticator", "make_credential"]


class Authenticator(Protocol):
    """Says who is calling."""

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        """Return the caller.

        Raises:
            Unauthenticated: there are no credentials, or unknown ones.
            PermissionDenied: the caller is known, but not for the tenant that it names.
            Unavailable: nobody can tell now.
        """

    async def checks(self) -> Sequence[Check]:
        """Return what this way of knowing callers stands on, for the room's readiness."""


class ApiKeys:
    """AUTH_MODE=api_key: user and service keys, and the tokens of rooms.

    Args:
        ring: the keys.
        mesh: checks what other rooms sign; None: they come with keys.
        refuse_users: whether people's keys are refused, as they name no tenant.
        failed: what these settings lack for this installation.
    """

    def __init__(
        self,
        ring: KeyRing,
        mesh: "MeshTokens | None" = None,
        *,
        refuse_users: bool = False,
        failed: Sequence[Check] = (),
    ) -> None:
        self._ring = ring
        self._mesh = mesh
        self._refuse_users = refuse_users
        self._failed = tuple(failed)

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        token = token_in(metadata)
        if self._mesh is not None and token is not None and self._mesh.made(token):
            return for_tenant(self._mesh.verify(token), metadata)
        holder = _holder(self._ring, metadata, needs="x-api-key")
        if holder.kind == "user" and self._refuse_users:
            raise Unauthenticated("API keys of people name no tenant; a token is needed", needs="token")
        return for_tenant(holder, metadata)

    async def checks(self) -> Sequence[Check]:
        return self._failed


class Tokens:
    """AUTH_MODE=jwt: tokens of people and services, tokens of rooms, and service keys where they are allowed.

    A token that is shown decides, also when a key is shown beside it.

    Args:
        verifier: checks tokens.
        rules: what their claims mean.
        mesh: checks what other rooms sign.
        ring: service keys that are taken beside tokens; None: none is.
        failed: what these settings lack for this installation.
    """

    def __init__(
        self,
        verifier: "TokenVerifier",
        rules: ClaimRules,
        mesh: "MeshTokens | None" = None,
        ring: KeyRing | None = None,
        *,
        failed: Sequence[Check] = (),
    ) -> None:
        self._verifier = verifier
        self._rules = rules
        self._mesh = mesh
        self._ring = ring
        self._failed = tuple(failed)

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        token = token_in(metadata)
        if token is None:
            if self._ring is None:
                raise Unauthenticated("the call carries no token", needs="authorization")
            return for_tenant(_holder(self._ring, metadata, needs="authorization"), metadata)
        if self._mesh is not None and self._mesh.made(token):
            return for_tenant(self._mesh.verify(token), metadata)
        return for_tenant(self._rules.principal(await self._verifier.verify(token)), metadata)

    async def checks(self) -> Sequence[Check]:
        provider = self._verifier.check()
        return self._failed if provider is None else (*self._failed, provider)


class Everybody:
    """AUTH_MODE=none: every caller may do everything; for a desk, never for production."""

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        return for_tenant(Principal("anonymous", "anonymous", scopes=EVERY_SCOPE, via="none"), metadata)

    async def checks(self) -> Sequence[Check]:
        return ()


def make_authenticator(auth: AuthSettings, core: CoreSettings) -> Authenticator:
    """Return the authenticator that the settings ask for.

    What APP_ENV=prod does not allow ends the start, or, with READINESS_FAIL_FAST_IN_PROD=false, keeps the room from
    being ready.

    Raises:
        SettingsError: the settings are not allowed in this installation.
    """
    failed = refusals(auth, core)
    if auth.auth_mode == "none":
        if core.is_prod:
            raise SettingsError(["AUTH_MODE: none is refused when APP_ENV=prod; use jwt"])
        return Everybody()
    if failed and core.fail_fast:
        raise SettingsError([check.message for check in failed])
    mesh = _mesh(auth)
    if auth.auth_mode == "api_key":
        ring = KeyRing(auth.api_keys, auth.service_api_keys, auth.service_read_api_keys)
        return ApiKeys(ring, mesh, refuse_users=auth.tenant_enforcement_enabled, failed=failed)
    fallback = auth.auth_service_key_fallback and not core.is_prod
    services = KeyRing((), auth.service_api_keys, auth.service_read_api_keys) if fallback else None
    return Tokens(_verifier(auth), ClaimRules.of(auth), mesh, services, failed=failed)


def _mesh(auth: AuthSettings) -> "MeshTokens | None":
    if not auth.mesh_shared_secret:
        return None
    from kit.auth.mesh import MeshTokens

    return MeshTokens([secret.get_secret_value() for secret in auth.mesh_shared_secret])


def make_credential(auth: AuthSettings, room: str) -> Credential | None:
    """Return what a room shows to other rooms: tokens of its own if it can sign them, else the first service key."""
    if auth.mesh_shared_secret:
        from kit.auth.mesh import MeshCredential

        return MeshCredential(room, auth.mesh_shared_secret[0].get_secret_value())
    return auth.outgoing_key


def _verifier(auth: AuthSettings) -> "TokenVerifier":
    from kit.auth.provider_keys import ProviderKeys
    from kit.auth.tokens import TokenVerifier

    provider = None
    if auth.oidc_issuer_url or auth.oidc_jwks_url:
        provider = ProviderKeys(
            auth.oidc_issuer_url,
            auth.oidc_jwks_url,
            auth.oidc_algorithms,
            fresh_seconds=auth.oidc_keys_fresh_seconds,
            pause_seconds=auth.oidc_keys_pause_seconds,
            timeout_seconds=auth.oidc_timeout_seconds,
        )
    issuer = auth.oidc_issuer_url.rstrip("/")
    return TokenVerifier(
        provider,
        algorithms=auth.oidc_algorithms,
        secret=auth.jwt_shared_secret.get_secret_value() if auth.jwt_shared_secret else None,
        # Whoever copies an address may lose or win the slash at its end; no two issuers differ by it.
        issuers=(issuer, f"{issuer}/") if issuer else (),
        audiences=auth.oidc_audience,
        leeway_seconds=auth.jwt_leeway_seconds,
    )


def _holder(ring: KeyRing, metadata: Mapping[str, str], *, needs: str) -> Principal:
    key = key_in(metadata)
    if key is None:
        raise Unauthenticated("the call carries no credentials", needs=needs)
    holder = ring.find(key)
    if holder is None:
        wrong = "no token is taken here, only API keys" if is_token(key) else "the API key is not known"
        raise Unauthenticated(wrong, needs=needs)
    return holder
