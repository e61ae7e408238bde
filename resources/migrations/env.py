"""Alembic's entry: runs in the transaction that `resources.schema` has opened."""

from alembic import context

from resources.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
