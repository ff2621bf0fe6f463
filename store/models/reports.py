"""Reports: what was built from a meeting's text, one row per revision."""

from sqlalchemy import Column, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from store import columns
from store.metadata import metadata

reports = Table(
    "reports",
    metadata,
    columns.meeting_id(primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    columns.tenant_id(),
    Column("body", JSONB, nullable=False),
    Column("transcript_sha256", Text, nullable=False, comment="of the text that it was built from"),
    columns.create_time(),
)
