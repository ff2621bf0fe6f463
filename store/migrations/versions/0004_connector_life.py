"""Sessions that come back: transitions, the ledger of reconciliation, notices, locks and breakers' history."""

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
