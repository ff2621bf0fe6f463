"""Tracks: one participant's audio within a session, and how far it has become text."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, Text

from store import columns
from store.metadata import metadata

tracks = Table(
    "tracks",
    metadata,
    Column("session_id", Text, ForeignKey("audio_sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    columns.meeting_id(),
    columns.tenant_id(),
    Column("participant_id", Text, nullable=False),
    Column("track_id", Text, nullable=False, server_default="", comment="the source's name for it"),
    Column("start_sample", BigInteger, nullable=False, server_default="0"),
    Column("end_sample", BigInteger, comment="null until it has ended"),
    Column("cursor_sample", BigInteger, nullable=False, server_default="0", comment="all before it is decided"),
    Column("speech_engine", Text, nullable=False, server_default=""),
    Column("pinned_language", Text, nullable=False, server_default="", comment="detected, and sure enough to stay"),
)

Index("ix_tracks_meeting_id", tracks.c.meeting_id)
