"""Audio sessions: one stream of a connector or client into a meeting, and who writes its journal."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from store import columns
from store.metadata import metadata

audio_sessions = Table(
    "audio_sessions",
    metadata,
    Column("id", Text, primary_key=True),
    columns.meeting_id(),
    columns.tenant_id(),
    Column("epoch", Integer, nullable=False, server_default="0", comment="grows with each new owner; fences the old"),
    Column("owner", Text, nullable=False, server_default="", comment="the ingest replica that holds the lease"),
    columns.time("lease_until"),
    Column("state", Text, nullable=False, server_default="open"),
    Column("journal", Text, nullable=False, server_default="", comment="path below the owner's data directory"),
    Column("next_sequence", BigInteger, nullable=False, server_default="1", comment="first message not yet durable"),
    columns.create_time(),
    columns.time("start_time"),
    columns.time("end_time"),
    Column("sealed_key", Text, comment="where the sealed audio is in the blob store"),
    columns.one_of("state", "open", "ended", "settled"),
)

Index("ix_audio_sessions_meeting_id", audio_sessions.c.meeting_id)
Index("ix_audio_sessions_unsettled", audio_sessions.c.owner, postgresql_where=audio_sessions.c.state != "settled")
