"""Lexemes of shared passages in their rows.

PostgreSQL puts large values into a table of their own, from which each rank of a passage would fetch them anew.
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Keep what is written from now on there; a document that is sent again is written anew."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE document_passages ALTER COLUMN words SET STORAGE MAIN")
