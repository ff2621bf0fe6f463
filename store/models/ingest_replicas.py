"""Ingest replicas: who is alive to keep meetings; a meeting whose owner is not may be taken up by another."""

from sqlalchemy import Column, DateTime, Table, Text

from store import columns
from store.metadata import metadata

ingest_replicas = Table(
    "ingest_replicas",
    metadata,
    Column("id", Text, primary_key=True),
    Column("address", Text, nullable=False, comment="where other replicas reach it"),
    Column("lease_until", DateTime(timezone=True), nullable=False, comment="by the database's clock"),
    columns.create_time(),
)
