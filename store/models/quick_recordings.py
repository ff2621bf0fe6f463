"""Quick recordings: meetings that were made from a link, and how far each has come."""

from sqlalchemy import Boolean, Column, Index, Integer, Table, Text

from store import columns
from store.metadata import metadata

quick_recordings = Table(
    "quick_recordings",
    metadata,
    columns.meeting_id(primary_key=True),
    columns.tenant_id(),
    Column("url", Text, nullable=False, comment="without what follows ? or #"),
    Column("duration_seconds", Integer, nullable=False, server_default="0", comment="0 for until it is stopped"),
    Column("transcribe", Boolean, nullable=False),
    Column("upload_to_agent", Boolean, nullable=False),
    Column("state", Text, nullable=False, server_default="recording"),
    Column("error", Text, nullable=False, server_default=""),
    Column("session_state", Text, nullable=False, server_default="", comment="of the connector, as last heard"),
    columns.create_time(),
    columns.time("stop_time"),
    columns.time("end_time"),
    columns.time("check_time"),
    columns.one_of("state", "recording", "assembling", "done", "failed"),
)

Index("ix_quick_recordings_latest", quick_recordings.c.tenant_id, quick_recordings.c.create_time.desc())
# What some replica has to look at next.
Index(
    "ix_quick_recordings_due",
    quick_recordings.c.check_time,
    postgresql_where=quick_recordings.c.state.in_(["recording", "assembling"]),
)
