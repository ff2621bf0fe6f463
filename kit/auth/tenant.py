"""For which tenant a caller acts."""

import re
from collections.abc import Mapping
from dataclasses import replace

from kit.auth.principal import TENANT_ID, Principal
from kit.errors import InvalidArgument, PermissionDenied

_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_tenant_id(value: object) -> bool:
    """Return whether a value can name a tenant: up to 64 letters, digits and `._-`, the first no punctuation."""
    return isinstance(value, str) and _TENANT.fullmatch(value) is not None


def for_tenant(holder: Principal, metadata: Mapping[str, str]) -> Principal:
    """Let a service act for the tenant that it names; a user has one tenant and cannot name another.

    Raises:
        PermissionDenied: the caller is bound to another tenant.
        InvalidArgument: what is named is no tenant.
    """
    tenant_id = metadata.get(TENANT_ID)
    if not tenant_id or tenant_id == holder.tenant_id:
        return holder
    if holder.kind == "user":
        raise PermissionDenied("a user cannot act for another tenant", needs="service")
    if holder.bound:
        raise PermissionDenied("the token is bound to another tenant", needs="token")
    if not is_tenant_id(tenant_id):
        raise InvalidArgument("is not a tenant id", field=TENANT_ID)
    return replace(holder, tenant_id=tenant_id)
