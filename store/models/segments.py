"""Segments: final text, never changed once written."""

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

from store import columns
from store.metadata import metadata

segments = Table(
    "segments",
    metadata,
    Column("id", Text, primary_key=True),
    columns.meeting_id(),
    columns.tenant_id(),
    Column("ordinal", Integer, nullable=False, comment="1, 2, 3... in the order of settling; the watchers' cursor"),
    Column("participant_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("track_number", Integer, nullable=False),
    Column("start_sample", BigInteger, nullable=False, comment="of the track"),
    Column("end_sample", BigInteger, nullable=False),
    Column("start_ms", Integer, nullable=False, comment="of the meeting"),
    Column("end_ms", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("words", JSONB, nullable=False, server_default="[]", comment="text, start_ms, end_ms, confidence each"),
    Column("language", Text, nullable=False, server_default=""),
    Column("confidence", REAL, nullable=False, server_default="0"),
    Column("engine", Text, nullable=False, server_default=""),
    Column("model", Text, nullable=False, server_default=""),
    columns.create_time(),
    UniqueConstraint("meeting_id", "ordinal"),
    # A final that comes again after a crash finds itself here and is a no-op.
    UniqueConstraint("session_id", "track_number", "start_sample"),
    ForeignKeyConstraint(["session_id", "track_number"], ["tracks.session_id", "tracks.number"], ondelete="CASCADE"),
    CheckConstraint("end_sample >= start_sample AND end_ms >= start_ms", name="order"),
)
