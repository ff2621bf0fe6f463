"""Notices of recording: who in a call was told of it, when and how, and who withdrew."""

from sqlalchemy import Column, Index, Table, Text

from store import columns
from store.metadata import metadata

connector_notices = Table(
    "connector_notices",
    metadata,
    Column("session_id", Text, primary_key=True, comment="the recorder's session in the call"),
    Column("participant_id", Text, primary_key=True),
    # Names of people: erased with the meeting.
    columns.meeting_id(),
    columns.tenant_id(),
    Column("display_name", Text, nullable=False, server_default="", comment="as shown when they were told"),
    Column("channel", Text, nullable=False, server_default="", comment="empty for who withdrew before being told"),
    columns.time("told_time"),
    columns.time("withdrawn_time"),
    columns.time("consented_time"),
    columns.one_of("channel", "", "chat", "roster"),
)

Index("ix_connector_notices_meeting_id", connector_notices.c.meeting_id)
