"""Participants: the voices of a meeting."""

from sqlalchemy import Column, Integer, Table, Text

from store import columns
from store.metadata import metadata

participants = Table(
    "participants",
    metadata,
    columns.meeting_id(primary_key=True),
    Column("id", Text, primary_key=True, comment="the provider's, or ours when it has none"),
    columns.tenant_id(),
    Column("display_name", Text, nullable=False, server_default=""),
    Column("basis", Text, nullable=False, comment="how we know who it is"),
    Column("language", Text, nullable=False, server_default=""),
    Column("joined_ms", Integer, nullable=False, server_default="0"),
    Column("left_ms", Integer, comment="null while they are there"),
    columns.one_of("basis", "own_track", "roster", "guess"),
)
