"""Whose rows the statements of a task may touch: said once by whoever knows, heard by every transaction.

    the edge of a call ──▶ enter(its caller's tenant)          │
    a meeting's life, a job ──▶ with within(its tenant): …     ├──▶ begin ──▶ PostgreSQL's row-level security
    a sweep over everybody's ──▶ with across_tenants(): …      │

Where nothing was said, PostgreSQL refuses to look at any tenant's rows: forgetting it is an error, never a leak. Tasks
inherit the scope of the one that makes them; what outlives a call says its own. A transaction keeps the scope that it
began in.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

NOBODY = ""
"""The scope in which nothing was said."""
EVERYBODY = "*"
"""No tenant has this name: `kit.auth.tenant`."""

_scope: ContextVar[str] = ContextVar("tenancy", default=NOBODY)


def current() -> str:
    """Return the tenant in scope, EVERYBODY or NOBODY."""
    return _scope.get()


def enter(tenant_id: str) -> None:
    """Let this task work for a tenant from now on; only edges do this, once per call."""
    _scope.set(_one(tenant_id))


@contextmanager
def within(tenant_id: str) -> Iterator[None]:
    """Work for one tenant in the block; for none if it is empty.

    Raises:
        ValueError: it is EVERYBODY, which `across_tenants` is for.
    """
    token = _scope.set(_one(tenant_id))
    try:
        yield
    finally:
        _scope.reset(token)


@contextmanager
def across_tenants() -> Iterator[None]:
    """Work over the rows of every tenant in the block: sweeps, operators, the queue. Keep the block short."""
    token = _scope.set(EVERYBODY)
    try:
        yield
    finally:
        _scope.reset(token)


def _one(tenant_id: str) -> str:
    if tenant_id == EVERYBODY:
        raise ValueError("no tenant has this name")
    return tenant_id
