"""Alembic's revisions, in order; `kit.db.migrate` runs them."""
