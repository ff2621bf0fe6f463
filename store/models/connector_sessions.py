"""Connector sessions: the recorder in a call, kept so that reconciliation can send it back in."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text, false

from store import columns
from store.metadata import metadata

ACTIVE_STATES = ("joining", "live", "degraded", "reconnecting", "leaving")

connector_sessions = Table(
    "connector_sessions",
    metadata,
    Column("id", Text, primary_key=True),
    # No foreign key: the recorder still has to leave a call whose meeting was erased.
    Column("meeting_id", Text, nullable=False),
    columns.tenant_id(),
    Column("provider", Text, nullable=False),
    Column("url", Text, nullable=False, server_default=""),
    Column("language", Text, nullable=False, server_default=""),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default="", comment="why it is in this state, without names"),
    Column("owner", Text, nullable=False, server_default="", comment="the connector replica that is in the call"),
    Column(
        "epoch", Integer, nullable=False, server_default="0", comment="replicas that took it up; fences the earlier"
    ),
    columns.time("lease_until"),
    Column(
        "start_time_ms", BigInteger, nullable=False, server_default="0", comment="wall clock at sample 0; 0 before it"
    ),
    Column("met", Boolean, nullable=False, server_default=false(), comment="whether anybody was heard in the call"),
    Column("cursor", Text, nullable=False, server_default="", comment="where a pull provider goes on"),
    Column("wish", Text, nullable=False, server_default="", comment="what another replica asks of the owner"),
    Column("wish_reason", Text, nullable=False, server_default=""),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("request_id", Text),
    columns.create_time(),
    columns.time("joined_time"),
    columns.time("last_seen_time"),
    columns.time("update_time"),
    columns.time("end_time"),
    columns.one_of("state", "idle", *ACTIVE_STATES, "ended", "failed"),
    columns.one_of("wish", "", "leave", "reconnect"),
)

# At most one recorder in a call.
Index(
    "uq_connector_sessions_active",
    connector_sessions.c.meeting_id,
    unique=True,
    postgresql_where=connector_sessions.c.state.in_(ACTIVE_STATES),
)
Index("ix_connector_sessions_meeting_id", connector_sessions.c.meeting_id)
Index("ix_connector_sessions_page", connector_sessions.c.create_time.desc(), connector_sessions.c.id.desc())
Index(
    "ix_connector_sessions_lease_until",
    connector_sessions.c.lease_until,
    postgresql_where=connector_sessions.c.state.in_(ACTIVE_STATES),
)
