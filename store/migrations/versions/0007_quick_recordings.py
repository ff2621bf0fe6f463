"""Quick recordings."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quick_recordings",
        sa.Column("meeting_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False, comment="without what follows ? or #"),
        sa.Column(
            "duration_seconds", sa.Integer(), server_default="0", nullable=False, comment="0 for until it is stopped"
        ),
        sa.Column("transcribe", sa.Boolean(), nullable=False),
        sa.Column("upload_to_agent", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), server_default="recording", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "session_state", sa.Text(), server_default="", nullable=False, comment="of the connector, as last heard"
        ),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("stop_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("check_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('recording', 'assembling', 'done', 'failed')", name=op.f("ck_quick_recordings_state")
        ),
        sa.ForeignKeyConstraint(
            ["meeting_id"], ["meetings.id"], name=op.f("fk_quick_recordings_meeting_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("meeting_id", name=op.f("pk_quick_recordings")),
    )
    op.create_index(
        "ix_quick_recordings_latest", "quick_recordings", ["tenant_id", sa.literal_column("create_time DESC")]
    )
    op.create_index(
        "ix_quick_recordings_due",
        "quick_recordings",
        ["check_time"],
        postgresql_where=sa.text("state IN ('recording', 'assembling')"),
    )


def downgrade() -> None:
    op.drop_table("quick_recordings")
