"""Idempotency keys: the answer that a repeated request gets."""

from sqlalchemy import Column, Index, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from store import columns
from store.metadata import metadata

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("scope", Text, primary_key=True, comment="the RPC"),
    Column("key", Text, primary_key=True, comment="the caller's request_id"),
    Column("response", JSONB, nullable=False),
    columns.create_time(),
)

Index("ix_idempotency_keys_create_time", idempotency_keys.c.create_time)
