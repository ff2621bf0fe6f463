"""Deliveries: a report on its way to somebody; the key keeps it from going twice."""

from sqlalchemy import Column, Index, Integer, Table, Text, UniqueConstraint

from store import columns
from store.metadata import metadata

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    columns.meeting_id(),
    columns.tenant_id(),
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("channel", Text, nullable=False, comment="email, webhook, telegram, ..."),
    Column("target", Text, nullable=False, comment="address within the channel"),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("last_error", Text, nullable=False, server_default=""),
    columns.create_time(),
    columns.time("update_time"),
    UniqueConstraint("meeting_id", "revision", "channel", "target"),
    columns.one_of("state", "pending", "sent", "failed", "skipped"),
)

Index("ix_deliveries_tenant_id_state", deliveries.c.tenant_id, deliveries.c.state)
