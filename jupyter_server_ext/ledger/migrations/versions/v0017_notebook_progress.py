"""How far the notebooks of a job are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the column."""
    op.add_column("jobs", sa.Column("progress", sa.Text, nullable=False, server_default=""))
