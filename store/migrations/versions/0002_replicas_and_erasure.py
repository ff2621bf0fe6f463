"""Ingest replicas, erasure, and the language that a track turned out to be in."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ingest_replicas",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False, comment="where other replicas reach it"),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False, comment="by the database's clock"),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingest_replicas")),
    )
    op.create_table(
        "tombstones",
        sa.Column("meeting_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("erase_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("erased_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("blobs_gone_time", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("meeting_id", name=op.f("pk_tombstones")),
    )
    op.create_index(
        "ix_tombstones_unfinished",
        "tombstones",
        ["meeting_id"],
        unique=False,
        postgresql_where=sa.text("blobs_gone_time IS NULL"),
    )
    op.alter_column(
        "audio_sessions",
        "epoch",
        existing_type=sa.INTEGER(),
        comment="the client's last connection",
        existing_comment="grows with each new owner; fences the old",
        existing_nullable=False,
        existing_server_default=sa.text("0"),
    )
    op.drop_index(
        op.f("ix_audio_sessions_unsettled"), table_name="audio_sessions", postgresql_where="(state <> 'settled'::text)"
    )
    op.drop_column("audio_sessions", "journal")
    op.drop_column("audio_sessions", "owner")
    op.drop_column("audio_sessions", "lease_until")
    op.add_column(
        "meetings",
        sa.Column(
            "owner", sa.Text(), server_default="", nullable=False, comment="the ingest replica that keeps it live"
        ),
    )
    op.add_column(
        "meetings",
        sa.Column(
            "epoch",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="grows with each taking up; fences the old",
        ),
    )
    op.add_column("meetings", sa.Column("audio_erase_time", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_meetings_end_time", "meetings", ["tenant_id", "end_time"], unique=False)
    op.create_index("ix_meetings_owner", "meetings", ["owner"], unique=False, postgresql_where=sa.text("owner != ''"))
    op.add_column(
        "tracks",
        sa.Column(
            "pinned_language", sa.Text(), server_default="", nullable=False, comment="detected, and sure enough to stay"
        ),
    )


def downgrade() -> None:
    op.drop_column("tracks", "pinned_language")
    op.drop_index("ix_meetings_owner", table_name="meetings", postgresql_where=sa.text("owner != ''"))
    op.drop_index("ix_meetings_end_time", table_name="meetings")
    op.drop_column("meetings", "audio_erase_time")
    op.drop_column("meetings", "epoch")
    op.drop_column("meetings", "owner")
    op.add_column(
        "audio_sessions",
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), autoincrement=False, nullable=True),
    )
    op.add_column(
        "audio_sessions",
        sa.Column(
            "owner",
            sa.TEXT(),
            server_default=sa.text("''::text"),
            autoincrement=False,
            nullable=False,
            comment="the ingest replica that holds the lease",
        ),
    )
    op.add_column(
        "audio_sessions",
        sa.Column(
            "journal",
            sa.TEXT(),
            server_default=sa.text("''::text"),
            autoincrement=False,
            nullable=False,
            comment="path below the owner's data directory",
        ),
    )
    op.create_index(
        op.f("ix_audio_sessions_unsettled"),
        "audio_sessions",
        ["owner"],
        unique=False,
        postgresql_where="(state <> 'settled'::text)",
    )
    op.alter_column(
        "audio_sessions",
        "epoch",
        existing_type=sa.INTEGER(),
        comment="grows with each new owner; fences the old",
        existing_comment="the client's last connection",
        existing_nullable=False,
        existing_server_default=sa.text("0"),
    )
    op.drop_index(
        "ix_tombstones_unfinished", table_name="tombstones", postgresql_where=sa.text("blobs_gone_time IS NULL")
    )
    op.drop_table("tombstones")
    op.drop_table("ingest_replicas")
