"""Who is calling: one value per RPC, in a context variable."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

DEFAULT_TENANT = "default"
EVERY_SCOPE = frozenset({"*"})


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller.

    `via` says how it was proved ("api_key", "none", "public"); `tenant_id` is the tenant whose rows it sees; `scopes`
    holds what a token carries, or `*` for callers whose kind alone decides.
    """

    subject: str
    kind: Literal["user", "service", "anonymous"]
    tenant_id: str = DEFAULT_TENANT
    scopes: frozenset[str] = field(default_factory=frozenset)
    via: str = "api_key"

    @property
    def trusted(self) -> bool:
        """Whether access control is off for this caller (AUTH_MODE=none)."""
        return self.via == "none"

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
