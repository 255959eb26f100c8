"""Vectors of shared documents' passages, and their signs, by which they are searched."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("documents", sa.Column("model", sa.String(255)))
    op.add_column("document_passages", sa.Column("vector", sa.LargeBinary))
    op.create_table(
        "passage_signs",
        sa.Column("passage", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("document", sa.String(16), nullable=False),
        sa.Column("tenant", sa.String(255), nullable=False),
        sa.Column("signs", sa.LargeBinary().with_variant(postgresql.BIT(varying=True), "postgresql"), nullable=False),
    )
    op.create_index("passage_signs_document", "passage_signs", ["document"])
