"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "breakers",
        sa.Column("name", sa.Text(), nullable=False, comment="for example connector.room"),
        sa.Column("state", sa.Text(), server_default="closed", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False, comment="in a row"),
        sa.Column("opened_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retry_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('closed', 'open', 'half_open')", name=op.f("ck_breakers_state")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_breakers")),
    )
    op.create_table(
        "connector_sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("meeting_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), server_default="", nullable=False),
        sa.Column("language", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "reason", sa.Text(), server_default="", nullable=False, comment="why it is in this state, without names"
        ),
        sa.Column(
            "owner", sa.Text(), server_default="", nullable=False, comment="the connector replica that is in the call"
        ),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("joined_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_seen_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('idle', 'joining', 'live', 'degraded', 'reconnecting', 'leaving', 'ended', 'failed')",
            name=op.f("ck_connector_sessions_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connector_sessions")),
    )
    op.create_index("ix_connector_sessions_meeting_id", "connector_sessions", ["meeting_id"], unique=False)
    op.create_index(
        "ix_connector_sessions_page",
        "connector_sessions",
        [sa.literal_column("create_time DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index(
        "uq_connector_sessions_active",
        "connector_sessions",
        ["meeting_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('joining', 'live', 'degraded', 'reconnecting', 'leaving')"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False, comment="the RPC"),
        sa.Column("key", sa.Text(), nullable=False, comment="the caller's request_id"),
        sa.Column("response", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "scope", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_create_time", "idempotency_keys", ["create_time"], unique=False)
    op.create_table(
        "meetings",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), server_default="", nullable=False, comment="ISO 639-1; empty to detect"),
        sa.Column("provider", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "provider_ref",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the meeting's address at the provider",
        ),
        sa.Column("context", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("duration_ms", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "revision",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="grows when the text changes after the end",
        ),
        sa.Column("report_state", sa.Text(), server_default="none", nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.CheckConstraint("mode IN ('realtime', 'upload')", name=op.f("ck_meetings_mode")),
        sa.CheckConstraint(
            "report_state IN ('none', 'queued', 'ready', 'failed')", name=op.f("ck_meetings_report_state")
        ),
        sa.CheckConstraint(
            "state IN ('scheduled', 'live', 'finishing', 'finished', 'failed')", name=op.f("ck_meetings_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_meetings")),
    )
    op.create_index(
        "ix_meetings_page",
        "meetings",
        ["tenant_id", sa.literal_column("create_time DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index(
        "ix_meetings_unfinished",
        "meetings",
        ["state"],
        unique=False,
        postgresql_where=sa.text("state IN ('scheduled', 'live', 'finishing')"),
    )
    op.create_index(
        "uq_meetings_request",
        "meetings",
        ["tenant_id", "request_id"],
        unique=True,
        postgresql_where=sa.text("request_id IS NOT NULL"),
    )
    op.create_table(
        "security_audit_events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column(
            "sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="the order of the chain"
        ),
        sa.Column("time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), server_default="", nullable=False),
        sa.Column("auth_type", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.Text(), server_default="", nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.CheckConstraint("outcome IN ('allow', 'deny')", name=op.f("ck_security_audit_events_outcome")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_audit_events")),
        sa.UniqueConstraint("sequence", name=op.f("uq_security_audit_events_sequence")),
    )
    op.create_index(
        "ix_security_audit_events_tenant_id_sequence", "security_audit_events", ["tenant_id", "sequence"], unique=False
    )
    op.create_table(
        "artifacts",
        sa.Column("meeting_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("blob_key", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("format IN ('txt', 'json', 'md', 'srt', 'vtt')", name=op.f("ck_artifacts_format")),
        sa.CheckConstraint("kind IN ('raw', 'clean', 'report')", name=op.f("ck_artifacts_kind")),
        sa.ForeignKeyConstraint(
            ["meeting_id"], ["meetings.id"], name=op.f("fk_artifacts_meeting_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("meeting_id", "revision", "kind", "format", name=op.f("pk_artifacts")),
    )
    op.create_table(
        "audio_sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("meeting_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column(
            "epoch",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="grows with each new owner; fences the old",
        ),
        sa.Column(
            "owner", sa.Text(), server_default="", nullable=False, comment="the ingest replica that holds the lease"
        ),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column(
            "journal", sa.Text(), server_default="", nullable=False, comment="path below the owner's data directory"
        ),
        sa.Column(
            "next_sequence",
            sa.BigInteger(),
            server_default="1",
            nullable=False,
            comment="first message not yet durable",
        ),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sealed_key", sa.Text(), nullable=True, comment="where the sealed audio is in the blob store"),
        sa.CheckConstraint("state IN ('open', 'ended', 'settled')", name=op.f("ck_audio_sessions_state")),
        sa.ForeignKeyConstraint(
            ["meeting_id"], ["meetings.id"], name=op.f("fk_audio_sessions_meeting_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audio_sessions")),
    )
    op.create_index("ix_audio_sessions_meeting_id", "audio_sessions", ["meeting_id"], unique=False)
    op.create_index(
        "ix_audio_sessions_unsettled",
        "audio_sessions",
        ["owner"],
        unique=False,
        postgresql_where=sa.text("state != 'settled'"),
    )
    op.create_table(
        "coverage",
        sa.Column("meeting_id", sa.Text(), nullable=False),
        sa.Column("participant_id", sa.Text(), nullable=False),
        sa.Column("start_ms", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("end_ms", sa.Integer(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('transcribed', 'silent', 'muted', 'concealed', 'lost', 'pending', 'absent')",
            name=op.f("ck_coverage_kind"),
        ),
        sa.CheckConstraint("end_ms > start_ms", name=op.f("ck_coverage_order")),
        sa.ForeignKeyConstraint(
            ["meeting_id"], ["meetings.id"], name=op.f("fk_coverage_meeting_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("meeting_id", "participant_id", "start_ms", name=op.f("pk_coverage")),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("meeting_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("channel", sa.Text(), nullable=False, comment="email, webhook, telegram, ..."),
        sa.Column("target", sa.Text(), nullable=False, comment="address within the channel"),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'sent', 'failed', 'skipped')", name=op.f("ck_deliveries_state")),
        sa.ForeignKeyConstraint(
            ["meeting_id"], ["meetings.id"], name=op.f("fk_deliveries_meeting_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint(
            "meeting_id", "revision", "channel", "target", name=op.f("uq_deliveries_meeting_id_revision_channel_target")
        ),
    )
    op.create_index("ix_deliveries_tenant_id_state", "deliveries", ["tenant_id", "state"], unique=False)
    op.create_table(
        "participants",
        sa.Column("meeting_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False, comment="the provider's, or ours when it has none"),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), server_default="", nullable=False),
        sa.Column("basis", sa.Text(), nullable=False, comment="how we know who it is"),
        sa.Column("language", sa.Text(), server_default="", nullable=False),
        sa.Column("joined_ms", sa.Integer(), server_default="0", nullable=False),
        sa.Column("left_ms", sa.Integer(), nullable=True, comment="null while they are there"),
        sa.CheckConstraint("basis IN ('own_track', 'roster', 'guess')", name=op.f("ck_participants_basis")),
        sa.ForeignKeyConstraint(
            ["meeting_id"], ["meetings.id"], name=op.f("fk_participants_meeting_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("meeting_id", "id", name=op.f("pk_participants")),
    )
    op.create_table(
        "reports",
        sa.Column("meeting_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("transcript_sha256", sa.Text(), nullable=False, comment="of the text that it was built from"),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["meeting_id"], ["meetings.id"], name=op.f("fk_reports_meeting_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("meeting_id", "revision", name=op.f("pk_reports")),
    )
    op.create_table(
        "tracks",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("meeting_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("participant_id", sa.Text(), nullable=False),
        sa.Column("track_id", sa.Text(), server_default="", nullable=False, comment="the source's name for it"),
        sa.Column("start_sample", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("end_sample", sa.BigInteger(), nullable=True, comment="null until it has ended"),
        sa.Column(
            "cursor_sample", sa.BigInteger(), server_default="0", nullable=False, comment="all before it is decided"
        ),
        sa.Column("speech_engine", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["meeting_id"], ["meetings.id"], name=op.f("fk_tracks_meeting_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["audio_sessions.id"], name=op.f("fk_tracks_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session_id", "number", name=op.f("pk_tracks")),
    )
    op.create_index("ix_tracks_meeting_id", "tracks", ["meeting_id"], unique=False)
    op.create_table(
        "segments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("meeting_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column(
            "ordinal", sa.Integer(), nullable=False, comment="1, 2, 3... in the order of settling; the watchers' cursor"
        ),
        sa.Column("participant_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("track_number", sa.Integer(), nullable=False),
        sa.Column("start_sample", sa.BigInteger(), nullable=False, comment="of the track"),
        sa.Column("end_sample", sa.BigInteger(), nullable=False),
        sa.Column("start_ms", sa.Integer(), nullable=False, comment="of the meeting"),
        sa.Column("end_ms", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column(
            "words",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
            comment="text, start_ms, end_ms, confidence each",
        ),
        sa.Column("language", sa.Text(), server_default="", nullable=False),
        sa.Column("confidence", sa.REAL(), server_default="0", nullable=False),
        sa.Column("engine", sa.Text(), server_default="", nullable=False),
        sa.Column("model", sa.Text(), server_default="", nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("end_sample >= start_sample AND end_ms >= start_ms", name=op.f("ck_segments_order")),
        sa.ForeignKeyConstraint(
            ["meeting_id"], ["meetings.id"], name=op.f("fk_segments_meeting_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["session_id", "track_number"],
            ["tracks.session_id", "tracks.number"],
            name=op.f("fk_segments_session_id_track_number"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segments")),
        sa.UniqueConstraint("meeting_id", "ordinal", name=op.f("uq_segments_meeting_id_ordinal")),
        sa.UniqueConstraint(
            "session_id", "track_number", "start_sample", name=op.f("uq_segments_session_id_track_number_start_sample")
        ),
    )
    op.create_table(
        "cron_slots",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slot_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", "slot_time"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column(
            "sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="the order of enqueueing"
        ),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="chooses the handler"),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True, comment="jobs of one key run one after another"),
        sa.Column("dedupe", sa.Text(), nullable=True, comment="one unfinished job at most has this value in its queue"),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("run_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "attempts",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="counted when claimed; fences the worker",
        ),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column(
            "last_error", sa.Text(), server_default="", nullable=False, comment="without speech, names or secrets"
        ),
        sa.Column("trace_id", sa.Text(), server_default="", nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finish_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'running') = (lease_until IS NOT NULL AND worker IS NOT NULL)", name="ck_jobs_lease"
        ),
        sa.CheckConstraint("state IN ('ready', 'waiting', 'running', 'done', 'dead')", name="ck_jobs_state"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_jobs_claim",
        "jobs",
        ["queue", sa.literal_column("priority DESC"), "run_at", "sequence"],
        unique=False,
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.create_index(
        "ix_jobs_done", "jobs", ["queue", "finish_time"], unique=False, postgresql_where=sa.text("state = 'done'")
    )
    op.create_index(
        "ix_jobs_lease", "jobs", ["queue", "lease_until"], unique=False, postgresql_where=sa.text("state = 'running'")
    )
    op.create_index("ix_jobs_page", "jobs", ["queue", sa.literal_column("sequence DESC")], unique=False)
    op.create_index(
        "ix_jobs_unfinished", "jobs", ["queue", "state"], unique=False, postgresql_where=sa.text("state != 'done'")
    )
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        ["queue", "key", "sequence"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index(
        "uq_jobs_dedupe",
        "jobs",
        ["queue", "dedupe"],
        unique=True,
        postgresql_where=sa.text("state IN ('ready', 'waiting', 'running')"),
    )
    op.create_index(
        "uq_jobs_head", "jobs", ["queue", "key"], unique=True, postgresql_where=sa.text("state IN ('ready', 'running')")
    )


def downgrade() -> None:
    for table in (
        "jobs",
        "cron_slots",
        "segments",
        "tracks",
        "reports",
        "participants",
        "deliveries",
        "coverage",
        "audio_sessions",
        "artifacts",
        "security_audit_events",
        "meetings",
        "idempotency_keys",
        "connector_sessions",
        "breakers",
    ):
        op.drop_table(table)  # its indexes go with it
