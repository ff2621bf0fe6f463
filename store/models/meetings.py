"""Meetings: one conversation each."""

from sqlalchemy import BigInteger, Column, Double, Index, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from store import columns
from store.metadata import metadata

meetings = Table(
    "meetings",
    metadata,
    Column("id", Text, primary_key=True),
    columns.tenant_id(),
    Column("title", Text, nullable=False, server_default=""),
    Column("mode", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("language", Text, nullable=False, server_default="", comment="ISO 639-1; empty to detect"),
    Column("provider", Text, nullable=False, server_default=""),
    Column("provider_ref", Text, nullable=False, server_default="", comment="the meeting's address at the provider"),
    Column("context", JSONB, nullable=False, server_default="{}"),
    columns.create_time(),
    columns.time("start_time"),
    columns.time("end_time"),
    Column("duration_ms", Integer, nullable=False, server_default="0"),
    Column(
        "revision", Integer, nullable=False, server_default="0", comment="grows when the text changes after the end"
    ),
    Column("report_state", Text, nullable=False, server_default="none"),
    Column("speech_cost_usd", Double, nullable=False, server_default="0", comment="what engines took for its text"),
    Column("created_by", Text, nullable=False, server_default=""),
    Column("request_id", Text),
    Column("owner", Text, nullable=False, server_default="", comment="the ingest replica that keeps it live"),
    Column(
        "epoch", BigInteger, nullable=False, server_default="0", comment="grows with each taking up; fences the old"
    ),
    columns.time("audio_erase_time"),
    columns.one_of("mode", "realtime", "upload"),
    columns.one_of("state", "scheduled", "live", "finishing", "finished", "failed"),
    columns.one_of("report_state", "none", "queued", "ready", "failed"),
)

# A page of a tenant's meetings, newest first, goes on after (create_time, id).
Index("ix_meetings_page", meetings.c.tenant_id, meetings.c.create_time.desc(), meetings.c.id.desc())
Index(
    "uq_meetings_request",
    meetings.c.tenant_id,
    meetings.c.request_id,
    unique=True,
    postgresql_where=meetings.c.request_id.is_not(None),
)
Index("ix_meetings_owner", meetings.c.owner, postgresql_where=meetings.c.owner != "")
# What retention looks at, oldest first.
Index("ix_meetings_end_time", meetings.c.tenant_id, meetings.c.end_time)
# What a restart has to pick up again.
Index(
    "ix_meetings_unfinished",
    meetings.c.state,
    postgresql_where=meetings.c.state.in_(["scheduled", "live", "finishing"]),
)
