"""Tombstones: what is left of a meeting that was erased; no name, no word, no sound."""

from sqlalchemy import Column, DateTime, Index, Table, Text, func

from store import columns
from store.metadata import metadata

tombstones = Table(
    "tombstones",
    metadata,
    # No foreign key: the meeting is gone.
    Column("meeting_id", Text, primary_key=True),
    columns.tenant_id(),
    Column("erase_time", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("erased_by", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    columns.time("blobs_gone_time"),
)

Index("ix_tombstones_unfinished", tombstones.c.meeting_id, postgresql_where=tombstones.c.blobs_gone_time.is_(None))
