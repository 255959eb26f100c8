"""Alembic's entry: runs the migrations on the connection that ``schema.py`` hands in."""

from __future__ import annotations

from alembic import context

from jupyter_server_ext.ledger.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
