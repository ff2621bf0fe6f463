"""Audio sessions: one stream of a connector or client into a meeting."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from store import columns
from store.metadata import metadata

audio_sessions = Table(
    "audio_sessions",
    metadata,
    Column("id", Text, primary_key=True),
    columns.meeting_id(),
    columns.tenant_id(),
    Column("epoch", Integer, nullable=False, server_default="0", comment="the client's last connection"),
    Column("state", Text, nullable=False, server_default="open"),
    Column("next_sequence", BigInteger, nullable=False, server_default="1", comment="first message not yet durable"),
    columns.create_time(),
    columns.time("start_time"),
    columns.time("end_time"),
    Column("last_chunks", JSONB, nullable=False, server_default="{}", comment="the last chunk of each participant"),
    Column("sealed_key", Text, comment="where the sealed audio is in the blob store"),
    columns.one_of("state", "open", "ended", "settled"),
)

Index("ix_audio_sessions_meeting_id", audio_sessions.c.meeting_id)
