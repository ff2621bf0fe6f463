"""Who is calling: one value per RPC, in a context variable."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

DEFAULT_TENANT = "default"
EVERY_SCOPE = frozenset({"*"})
ADMIN_READ = "agent.admin.read"
ADMIN_WRITE = "agent.admin.write"
WS_INTERNAL = "agent.ws.internal"
"""The scopes of the contract; which scopes of a token stand for them is a setting."""

CONTRACT_SCOPES = frozenset({ADMIN_READ, ADMIN_WRITE, WS_INTERNAL})
TENANT_ID = "x-tenant-id"
"""Metadata in which a service names the tenant that it acts for."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller.

    `via` says how it was proved ("api_key", "jwt", "mesh", "none", "public"); `tenant_id` is the tenant whose rows it
    sees; `scopes` holds the contract's scopes that its credentials stand for, or `*` for callers whose kind alone
    decides.
    """

    subject: str
    kind: Literal["user", "service", "anonymous"]
    tenant_id: str = DEFAULT_TENANT
    scopes: frozenset[str] = field(default_factory=frozenset)
    via: str = "api_key"
    bound: bool = False
    """Whether a service may act for `tenant_id` only."""

    @property
    def trusted(self) -> bool:
        """Whether access control is off for this caller (AUTH_MODE=none)."""
        return self.via == "none"

    @property
    def viewer(self) -> bool:
        """Whether this service may only look: it calls what asks for the reading scope, and nothing else."""
        return self.kind == "service" and self.scopes & CONTRACT_SCOPES == {ADMIN_READ}

    def has_scope(self, scope: str) -> bool:
        """Return whether the caller may use `scope`; the empty scope is everybody's."""
        return not scope or "*" in self.scopes or scope in self.scopes


_principal: ContextVar[Principal | None] = ContextVar("principal", default=None)


def current_principal() -> Principal:
    """Return who called the RPC that this task works for.

    Raises:
        LookupError: this task works for no RPC.
    """
    principal = _principal.get()
    if principal is None:
        raise LookupError("no RPC is being served here")
    return principal


def find_principal() -> Principal | None:
    """Return who called, or None outside of an RPC."""
    return _principal.get()


def set_principal(principal: Principal) -> None:
    """Make `principal` the caller for this task; only edges do this, once per call."""
    _principal.set(principal)
