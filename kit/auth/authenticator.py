"""Turns the metadata of a call into a principal, according to AUTH_MODE."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from kit.auth.keys import KeyRing, key_in
from kit.auth.principal import EVERY_SCOPE, Principal
from kit.errors import InvalidArgument, PermissionDenied, Unauthenticated
from kit.settings import AuthSettings, CoreSettings, SettingsError

TENANT_ID = "x-tenant-id"
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Authenticator(Protocol):
    """Says who is calling."""

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        """Return the caller.

        Raises:
            Unauthenticated: there are no credentials, or unknown ones.
        """


class ApiKeys:
    """AUTH_MODE=api_key: user and service keys."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        key = key_in(metadata)
        if key is None:
            raise Unauthenticated("the call carries no API key", needs="x-api-key")
        holder = self._ring.find(key)
        if holder is None:
            raise Unauthenticated("the API key is not known")
        return _for_tenant(holder, metadata)


class Everybody:
    """AUTH_MODE=none: every caller may do everything; for a desk, never for production."""

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        return _for_tenant(Principal("anonymous", "anonymous", scopes=EVERY_SCOPE, via="none"), metadata)


def make_authenticator(auth: AuthSettings, core: CoreSettings) -> Authenticator:
    """Return the authenticator that the settings ask for.

    Raises:
        SettingsError: the mode is not available, or not allowed in this installation.
    """
    if auth.auth_mode == "jwt":
        raise SettingsError(["AUTH_MODE: jwt is not available in this release; use api_key"])
    if auth.auth_mode == "none":
        if core.is_prod:
            raise SettingsError(["AUTH_MODE: none is refused when APP_ENV=prod; use api_key"])
        return Everybody()
    return ApiKeys(KeyRing(auth.api_keys, auth.service_api_keys))


def _for_tenant(holder: Principal, metadata: Mapping[str, str]) -> Principal:
    """Let a service act for the tenant that it names; a user has one tenant and cannot name another."""
    tenant_id = metadata.get(TENANT_ID)
    if not tenant_id or tenant_id == holder.tenant_id:
        return holder
    if holder.kind == "user":
        raise PermissionDenied("a user cannot act for another tenant", needs="service")
    if not _TENANT.fullmatch(tenant_id):
        raise InvalidArgument("is not a tenant id", field=TENANT_ID)
    return replace(holder, tenant_id=tenant_id)
