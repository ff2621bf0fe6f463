"""Connector operations: which join, leave or reconnect is under way for a meeting, so that no two ever are."""

from sqlalchemy import Column, DateTime, Table, Text

from store.metadata import metadata

connector_operations = Table(
    "connector_operations",
    metadata,
    Column("meeting_id", Text, primary_key=True),
    Column("operation", Text, nullable=False),
    Column("holder", Text, nullable=False, comment="names the one call that may end it"),
    Column("until_time", DateTime(timezone=True), nullable=False, comment="when a holder that died no longer counts"),
)
