"""Connector transitions: every step of a session, with its reason."""

from sqlalchemy import Column, DateTime, ForeignKey, Integer, Table, Text

from store.metadata import metadata

connector_transitions = Table(
    "connector_transitions",
    metadata,
    Column("session_id", Text, ForeignKey("connector_sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False, comment="from 1"),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default="", comment="without names"),
)
