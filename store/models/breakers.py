"""Breakers: whether a provider is being called at all; they guard the whole mesh, so no tenant owns one."""

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Integer, Table, Text, func

from store import columns
from store.metadata import metadata

breakers = Table(
    "breakers",
    metadata,
    Column("name", Text, primary_key=True, comment="for example connector.sberjazz"),
    Column("base", Text, primary_key=True, comment="address whose failures are counted together"),
    Column("state", Text, nullable=False, server_default="closed"),
    Column("failures", Integer, nullable=False, server_default="0", comment="in a row"),
    columns.time("first_failure_time"),
    columns.time("since_time"),
    columns.time("probe_time"),
    Column("last_error", Text, nullable=False, server_default="", comment="without secrets"),
    columns.one_of("state", "closed", "open", "half_open"),
)

breaker_changes = Table(
    "breaker_changes",
    metadata,
    Column("sequence", BigInteger, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("base", Text, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("state", Text, nullable=False, comment="after the change"),
    Column("reason", Text, nullable=False),
)

Index("ix_breaker_changes_name_sequence", breaker_changes.c.name, breaker_changes.c.sequence)
