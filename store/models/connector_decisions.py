"""Connector decisions: the ledger of reconciliation, what was wanted, what was seen, what was done."""

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Table, Text, func

from store import columns
from store.metadata import metadata

connector_decisions = Table(
    "connector_decisions",
    metadata,
    Column("sequence", BigInteger, Identity(always=True), primary_key=True),
    Column("time", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # Empty for a breaker, which no tenant owns.
    columns.tenant_id(),
    Column("meeting_id", Text, nullable=False, server_default=""),
    Column("session_id", Text, nullable=False, server_default=""),
    Column("provider", Text, nullable=False),
    Column("desired", Text, nullable=False),
    Column("observed", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default="", comment="and what came of it, without names"),
    Column("source", Text, nullable=False),
    columns.one_of("desired", "in_call", "out_of_call", "closed"),
    columns.one_of("action", "none", "rejoin", "reconnect", "finish", "fail", "reset"),
    columns.one_of("source", "worker", "operator"),
)

Index("ix_connector_decisions_time", connector_decisions.c.time)
