"""Participants who withdrew from the recording: a kind of coverage, and the notices of who was told."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KINDS = "'transcribed', 'silent', 'muted', 'concealed', 'lost', 'pending'"


def upgrade() -> None:
    op.drop_constraint(op.f("ck_coverage_kind"), "coverage", type_="check")
    op.create_check_constraint(op.f("ck_coverage_kind"), "coverage", f"kind IN ({_KINDS}, 'withdrawn', 'absent')")
    op.create_table(
        "connector_notices",
        sa.Column("session_id", sa.Text(), nullable=False, comment="the recorder's session in the call"),
        sa.Column("participant_id", sa.Text(), nullable=False),
        sa.Column("meeting_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), server_default="", nullable=False, comment="as shown when they were told"),
        sa.Column(
            "channel", sa.Text(), server_default="", nullable=False, comment="empty for who withdrew before being told"
        ),
        sa.Column("told_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("consented_time", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("channel IN ('', 'chat', 'roster')", name=op.f("ck_connector_notices_channel")),
        sa.ForeignKeyConstraint(
            ["meeting_id"],
            ["meetings.id"],
            name=op.f("fk_connector_notices_meeting_id_meetings"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", "participant_id", name=op.f("pk_connector_notices")),
    )
    op.create_index("ix_connector_notices_meeting_id", "connector_notices", ["meeting_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_connector_notices_meeting_id", table_name="connector_notices")
    op.drop_table("connector_notices")
    # Nobody was lost who did not want to be recorded; the older tables have no better word than muted.
    op.execute("UPDATE coverage SET kind = 'muted' WHERE kind = 'withdrawn'")
    op.drop_constraint(op.f("ck_coverage_kind"), "coverage", type_="check")
    op.create_check_constraint(op.f("ck_coverage_kind"), "coverage", f"kind IN ({_KINDS}, 'absent')")
