"""Scopes of virtual keys: there are more of them, and a key that asks may still ask for what it could."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Make room for more names, and write out what ``chat`` was for: completions and embeddings, too.

    What it let do beside asking is not carried over: files, jobs, conversations, and what a group shares.
    """
    with op.batch_alter_table("api_keys") as keys:
        keys.alter_column("scopes", type_=sa.String(255), existing_nullable=False)
    op.execute("UPDATE api_keys SET scopes = 'chat completion embeddings' WHERE scopes = 'chat'")
    op.execute("UPDATE api_keys SET scopes = 'chat completion embeddings instructor' WHERE scopes = 'chat instructor'")
