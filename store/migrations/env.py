"""Alembic's entry point: works on the connection that it is given, in the transaction it finds there."""

from alembic import context

from kit.queue.tables import metadata as queue_metadata
from store.models import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=[metadata, queue_metadata],
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
