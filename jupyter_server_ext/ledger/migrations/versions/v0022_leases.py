"""Leases with a number, and which lines of jobs were given to a provider by a gateway that may be gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Add the columns; whatever is leased now may have been asked."""
    for table in ("job_lines", "webhook_deliveries"):
        op.add_column(table, sa.Column("fence", sa.Integer, nullable=False, server_default="0"))
    for name in ("asked", "lost"):
        op.add_column("job_lines", sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("jobs", sa.Column("asked_twice", sa.BigInteger, nullable=False, server_default="0"))
    lines = sa.table("job_lines", sa.column("lease"), sa.column("asked"))
    op.execute(sa.update(lines).where(lines.c.lease != "").values(asked=True))
