"""The last chunk of each participant, to be acknowledged again after the end; what speech recognition cost."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "audio_sessions",
        sa.Column(
            "last_chunks",
            postgresql.JSONB(),
            server_default="{}",
            nullable=False,
            comment="the last chunk of each participant",
        ),
    )
    op.add_column(
        "meetings",
        sa.Column(
            "speech_cost_usd",
            sa.Double(),
            server_default="0",
            nullable=False,
            comment="what engines took for its text",
        ),
    )


def downgrade() -> None:
    op.drop_column("meetings", "speech_cost_usd")
    op.drop_column("audio_sessions", "last_chunks")
