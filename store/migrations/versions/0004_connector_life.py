"""Sessions that come back: transitions, the ledger of reconciliation, locks, and breakers with their history."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ACTIVE = "state IN ('joining', 'live', 'degraded', 'reconnecting', 'leaving')"


def upgrade() -> None:
    _upgrade_sessions()
    op.create_table(
        "connector_transitions",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False, comment="from 1"),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False, comment="without names"),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["connector_sessions.id"],
            name=op.f("fk_connector_transitions_session_id_connector_sessions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", "ordinal", name=op.f("pk_connector_transitions")),
    )
    op.create_table(
        "connector_decisions",
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("meeting_id", sa.Text(), server_default="", nullable=False),
        sa.Column("session_id", sa.Text(), server_default="", nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("desired", sa.Text(), nullable=False),
        sa.Column("observed", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False, comment="and what came of it, without names"),
        sa.Column("source", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "desired IN ('in_call', 'out_of_call', 'closed')", name=op.f("ck_connector_decisions_desired")
        ),
        sa.CheckConstraint(
            "action IN ('none', 'rejoin', 'reconnect', 'finish', 'fail', 'reset')",
            name=op.f("ck_connector_decisions_action"),
        ),
        sa.CheckConstraint("source IN ('worker', 'operator')", name=op.f("ck_connector_decisions_source")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_connector_decisions")),
    )
    op.create_index("ix_connector_decisions_time", "connector_decisions", ["time"], unique=False)
    op.create_table(
        "connector_operations",
        sa.Column("meeting_id", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False, comment="names the one call that may end it"),
        sa.Column(
            "until_time",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when a holder that died no longer counts",
        ),
        sa.PrimaryKeyConstraint("meeting_id", name=op.f("pk_connector_operations")),
    )
    _upgrade_breakers()


def _upgrade_sessions() -> None:
    added: tuple[sa.Column[Any], ...] = (
        sa.Column(
            "start_time_ms",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="wall clock at sample 0; 0 before it",
        ),
        sa.Column(
            "met",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="whether anybody was heard in the call",
        ),
        sa.Column("cursor", sa.Text(), server_default="", nullable=False, comment="where a pull provider goes on"),
        sa.Column(
            "wish", sa.Text(), server_default="", nullable=False, comment="what another replica asks of the owner"
        ),
        sa.Column("wish_reason", sa.Text(), server_default="", nullable=False),
    )
    for column in added:
        op.add_column("connector_sessions", column)
    op.alter_column("connector_sessions", "epoch", comment="replicas that took it up; fences the earlier")
    op.create_check_constraint(
        op.f("ck_connector_sessions_wish"), "connector_sessions", "wish IN ('', 'leave', 'reconnect')"
    )
    op.create_index(
        "ix_connector_sessions_lease_until",
        "connector_sessions",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text(_ACTIVE),
    )


def _upgrade_breakers() -> None:
    # Nothing ever wrote to the first form of this table.
    op.drop_table("breakers")
    op.create_table(
        "breakers",
        sa.Column("name", sa.Text(), nullable=False, comment="for example connector.sberjazz"),
        sa.Column("base", sa.Text(), nullable=False, comment="address whose failures are counted together"),
        sa.Column("state", sa.Text(), server_default="closed", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False, comment="in a row"),
        sa.Column("first_failure_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("since_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("probe_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), server_default="", nullable=False, comment="without secrets"),
        sa.CheckConstraint("state IN ('closed', 'open', 'half_open')", name=op.f("ck_breakers_state")),
        sa.PrimaryKeyConstraint("name", "base", name=op.f("pk_breakers")),
    )
    op.create_table(
        "breaker_changes",
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="after the change"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_breaker_changes")),
    )
    op.create_index("ix_breaker_changes_name_sequence", "breaker_changes", ["name", "sequence"], unique=False)


def downgrade() -> None:
    op.drop_table("breaker_changes")
    op.drop_table("breakers")
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
    op.drop_table("connector_operations")
    op.drop_table("connector_decisions")
    op.drop_table("connector_transitions")
    op.drop_index("ix_connector_sessions_lease_until", table_name="connector_sessions")
    op.drop_constraint(op.f("ck_connector_sessions_wish"), "connector_sessions", type_="check")
    op.alter_column("connector_sessions", "epoch", comment=None)
    for name in ("wish_reason", "wish", "cursor", "met", "start_time_ms"):
        op.drop_column("connector_sessions", name)
