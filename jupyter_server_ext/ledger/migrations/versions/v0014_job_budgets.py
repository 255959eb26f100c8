"""What a job may cost, and what is held of that for its lines under way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("jobs", sa.Column("budget_nanodollars", sa.BigInteger))
    for table in ("jobs", "job_lines"):
        op.add_column(table, sa.Column("held_nanodollars", sa.BigInteger, nullable=False, server_default="0"))
