"""From the claims of a token to a principal: person or service, scopes, tenant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kit.auth.principal import ADMIN_READ, ADMIN_WRITE, DEFAULT_TENANT, WS_INTERNAL, Principal
from kit.auth.tenant import is_tenant_id
from kit.errors import PermissionDenied
from kit.settings import AuthSettings


@dataclass(frozen=True)
class ClaimRules:
    """Which claims mean what; see the settings of the same names."""

    role_claim: str
    allowed_roles: frozenset[str]
    type_claim: str
    type_values: frozenset[str]
    permission_claim: str
    required: Mapping[str, frozenset[str]]
    """For each scope of the contract the scopes of a token, any of which stands for it."""
    tenant_claim: str
    tenant_needed: bool

    @classmethod
    def of(cls, settings: AuthSettings) -> "ClaimRules":
        """Return the rules that the settings make."""
        return cls(
            role_claim=settings.jwt_service_role_claim,
            allowed_roles=frozenset(settings.jwt_service_allowed_roles),
            type_claim=settings.jwt_service_claim_key,
            type_values=frozenset(settings.jwt_service_claim_values),
            permission_claim=settings.jwt_service_permission_claim,
            required={
                ADMIN_READ: frozenset(settings.jwt_service_required_scopes_admin_read),
                ADMIN_WRITE: frozenset(settings.jwt_service_required_scopes_admin_write),
                WS_INTERNAL: frozenset(settings.jwt_service_required_scopes_ws_internal),
            },
            tenant_claim=settings.tenant_claim_key,
            tenant_needed=settings.tenant_enforcement_enabled,
        )

    def principal(self, claims: Mapping[str, Any]) -> Principal:
        """Return who a verified token speaks for. A person's tenant is the token's; a service without one may name any.

        Raises:
            PermissionDenied: the token names no tenant and must, or names one that cannot be.
        """
        tenant_id = self._tenant(claims)
        if self.is_service(claims):
            subject, scopes = f"service:{claims['sub']}", self._scopes(claims)
            return Principal(subject, "service", tenant_id or DEFAULT_TENANT, scopes, "jwt", bound=bool(tenant_id))
        if not tenant_id and self.tenant_needed:
            raise PermissionDenied("the token names no tenant", needs=self.tenant_claim)
        return Principal(f"user:{claims['sub']}", "user", tenant_id or DEFAULT_TENANT, via="jwt")

    def is_service(self, claims: Mapping[str, Any]) -> bool:
        """Return whether a token is a service's, by a role or by the claim that tells its type."""
        roles = words(claim(claims, self.role_claim))
        types = words(claim(claims, self.type_claim))
        return bool(roles & self.allowed_roles or types & self.type_values)

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """Return scopes of the contract only, so that no word of a token can mean more than the settings say."""
        carried = words(claim(claims, self.permission_claim))
        return frozenset(scope for scope, names in self.required.items() if carried & names)

    def _tenant(self, claims: Mapping[str, Any]) -> str:
        named = claim(claims, self.tenant_claim)
        if named is None or named == "":
            return ""
        if not is_tenant_id(named):
            raise PermissionDenied("the token names a tenant that cannot be", needs=self.tenant_claim)
        return str(named)


def claim(claims: Mapping[str, Any], path: str) -> Any:
    """Return a claim by its name, else by its dotted path; None if there is none.

    Names with dots come first: `https://example.com/tenant_id` is one name, `realm_access.roles` a path of two.
    """
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def words(value: Any) -> frozenset[str]:
    """Return what a claim lists: words between spaces, or a list of words; empty for anything else."""
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, list):
        return frozenset(word for word in value if isinstance(word, str))
    return frozenset()
