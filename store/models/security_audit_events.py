"""Security audit events: what was allowed and denied, each row sealed with the hash of the one before."""

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Table, Text, UniqueConstraint, func

from store import columns
from store.metadata import metadata

security_audit_events = Table(
    "security_audit_events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sequence", BigInteger, Identity(always=True), nullable=False, comment="the order of the chain"),
    Column("time", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("outcome", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("subject", Text, nullable=False, server_default=""),
    Column("auth_type", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    columns.tenant_id(),
    Column("prev_hash", Text, nullable=False, server_default=""),
    Column("hash", Text, nullable=False),
    UniqueConstraint("sequence"),
    columns.one_of("outcome", "allow", "deny"),
)

Index(
    "ix_security_audit_events_tenant_id_sequence", security_audit_events.c.tenant_id, security_audit_events.c.sequence
)
