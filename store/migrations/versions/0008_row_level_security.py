"""The second wall between tenants: PostgreSQL shows and takes rows of the tenant in scope, and of no other.

Whoever says no tenant gets an error, not an empty answer. Foreign keys and their cascades see everything, as ever.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TABLES = (
    "artifacts",
    "audio_sessions",
    "connector_decisions",
    "connector_notices",
    "connector_sessions",
    "coverage",
    "deliveries",
    "idempotency_keys",
    "jobs",
    "meetings",
    "participants",
    "quick_recordings",
    "reports",
    "security_audit_events",
    "segments",
    "tombstones",
    "tracks",
)
# In a sub-select the function is called once per statement, not once per row.
_MINE = "tenant_id = (SELECT agent_tenant()) OR (SELECT agent_tenant()) = '*'"


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION agent_tenant() RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
        DECLARE
            tenant text := current_setting('agent.tenant', true);
        BEGIN
            IF coalesce(tenant, '') = '' THEN
                RAISE insufficient_privilege USING MESSAGE = 'no tenant is in scope',
                    HINT = 'SET agent.tenant to a tenant, or to * for all of them.';
            END IF;
            RETURN tenant;
        END $$
        """
    )
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant ON {table} USING ({_MINE}) WITH CHECK ({_MINE})")
    # What is decided on a provider concerns everybody whose calls go through it.
    op.execute("CREATE POLICY of_no_tenant ON connector_decisions FOR SELECT USING (tenant_id = '')")
    # Its rows are as visible as the session that they are of.
    op.execute("ALTER TABLE connector_transitions ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE connector_transitions FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON connector_transitions "
        "USING (EXISTS (SELECT FROM connector_sessions WHERE id = session_id)) "
        "WITH CHECK (EXISTS (SELECT FROM connector_sessions WHERE id = session_id))"
    )


def downgrade() -> None:
    for table in (*_TABLES, "connector_transitions"):
        op.execute(f"DROP POLICY tenant ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    op.execute("DROP POLICY of_no_tenant ON connector_decisions")
    op.execute("DROP FUNCTION agent_tenant()")
